"""One step of linear regression on the site's own patients, or one more tree."""

from __future__ import annotations

import json

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import adaptiveclipping_mod, fixedclipping_mod, message_size_mod
from flwr.clientapp.typing import ClientAppCallable

from strategies.aligned import CONFIG, SITE, site_id
from strategies.server_app import FEATURES, MOD, forest

ROWS = 40
MODS = {"fixed": fixedclipping_mod, "adaptive": adaptiveclipping_mod}


def clip(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Clip the update by the mod that the strategy needs at its clients, if it needs one."""
    mod = MODS.get(str(message.content.config_records.get(CONFIG, {}).get(MOD)))
    return call_next(message, context) if mod is None else mod(message, context, call_next)


app = ClientApp(mods=[message_size_mod, clip])


@app.query()
def query(message: Message, context: Context) -> Message:
    """Say which site this is, to an engine that does not know."""
    return Message(RecordDict({SITE: ConfigRecord({"name": str(context.node_config[SITE])})}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return the model after one step."""
    site = site_id(str(message.content.config_records[CONFIG][SITE]))
    arrays = message.content.array_records["arrays"]
    own = np.random.default_rng(site)
    rows = ROWS + site % ROWS
    x = own.standard_normal((rows, FEATURES)).astype(np.float32)
    y = x.sum(axis=1) + own.standard_normal(rows).astype(np.float32)
    metrics = {"num-examples": rows, "train_loss": 0.0}
    if len(arrays) == 1:
        after = [_one_more_tree(arrays["0"].numpy(), site)]
    else:
        weights, bias = (arrays[name].numpy() for name in ("0", "1"))
        error = (x * weights).sum(axis=1) + bias - y
        metrics["train_loss"] = float(np.square(error).mean())
        step = np.float32(0.1)
        after = [weights - step * (x * error[:, None]).mean(axis=0), bias - step * error.mean(keepdims=True)]
    return Message(RecordDict({"arrays": ArrayRecord(after), "metrics": MetricRecord(metrics)}), reply_to=message)


def _one_more_tree(model: np.ndarray, site: int) -> np.ndarray:
    before = json.loads(model.tobytes())["learner"]["gradient_booster"]["model"]["trees"]
    tree = {"id": 0, "split_conditions": [site % 1000 / 1000, len(before)]}
    return np.frombuffer(json.dumps(forest(tree)).encode(), np.uint8)
