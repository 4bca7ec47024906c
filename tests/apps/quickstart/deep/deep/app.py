"""PyTorch: a small network, sent as the dictionary of its tensors; the server leaves it as torch's own file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from torch import nn

client = ClientApp()
server = ServerApp()


class Net(nn.Module):
    """Two layers, with a norm between them that counts its batches (an integer without dimensions)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of two classes."""
        return self.last(torch.relu(self.norm(self.first(x))))


@client.train()
def train(message: Message, context: Context) -> Message:
    """Return the network after an epoch on this node's rows."""
    number = int(context.node_config["partition-id"])
    torch.set_num_threads(1)
    drawn = torch.Generator().manual_seed(number)
    x = torch.randn(64 + 32 * number, 6, generator=drawn)
    y = (x.sum(dim=1) > 0).long()
    net = Net()
    net.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for rows in range(0, len(x), 32):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[rows : rows + 32]), y[rows : rows + 32])
        loss.backward()
        optimizer.step()
    content = {
        "arrays": ArrayRecord(net.state_dict()),
        "metrics": MetricRecord({"num-examples": len(x), "train_loss": loss.item()}),
    }
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for two rounds; save the network as torch does, and its numbers."""
    torch.manual_seed(0)
    result = FedAvg(fraction_evaluate=0.0).start(grid, ArrayRecord(Net().state_dict()), num_rounds=2)
    out = Path(str(context.run_config["out"]))
    torch.save(result.arrays.to_torch_state_dict(), out / "model.pt")
    np.savez(out / "result.npz", **{name: one.numpy() for name, one in result.arrays.items()})
