from federation.pb import federation_pb2 as _federation_pb2
from federation.pb import records_pb2 as _records_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServerAppRequest(_message.Message):
    __slots__ = ("start", "reply", "replies_end", "nodes")
    START_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    REPLIES_END_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    start: ServerAppStart
    reply: _federation_pb2.Reply
    replies_end: RepliesEnd
    nodes: Nodes
    def __init__(self, start: _Optional[_Union[ServerAppStart, _Mapping]] = ..., reply: _Optional[_Union[_federation_pb2.Reply, _Mapping]] = ..., replies_end: _Optional[_Union[RepliesEnd, _Mapping]] = ..., nodes: _Optional[_Union[Nodes, _Mapping]] = ...) -> None: ...

class ServerAppStart(_message.Message):
    __slots__ = ("app_folder", "server_app", "run_id", "nodes", "seed", "run_config", "inbox", "outbox", "artifacts")
    APP_FOLDER_FIELD_NUMBER: _ClassVar[int]
    SERVER_APP_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RUN_CONFIG_FIELD_NUMBER: _ClassVar[int]
    INBOX_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    app_folder: str
    server_app: str
    run_id: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    run_config: _records_pb2.ConfigRecord
    inbox: str
    outbox: str
    artifacts: str
    def __init__(self, app_folder: _Optional[str] = ..., server_app: _Optional[str] = ..., run_id: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., run_config: _Optional[_Union[_records_pb2.ConfigRecord, _Mapping]] = ..., inbox: _Optional[str] = ..., outbox: _Optional[str] = ..., artifacts: _Optional[str] = ...) -> None: ...

class RepliesEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Nodes(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class ServerAppResponse(_message.Message):
    __slots__ = ("push", "wait", "batch_done", "end", "ask_nodes")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    BATCH_DONE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ASK_NODES_FIELD_NUMBER: _ClassVar[int]
    push: Push
    wait: Await
    batch_done: BatchDone
    end: ServerAppEnd
    ask_nodes: AskNodes
    def __init__(self, push: _Optional[_Union[Push, _Mapping]] = ..., wait: _Optional[_Union[Await, _Mapping]] = ..., batch_done: _Optional[_Union[BatchDone, _Mapping]] = ..., end: _Optional[_Union[ServerAppEnd, _Mapping]] = ..., ask_nodes: _Optional[_Union[AskNodes, _Mapping]] = ...) -> None: ...

class AskNodes(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Push(_message.Message):
    __slots__ = ("content", "tasks")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    content: _records_pb2.RecordDict
    tasks: _containers.RepeatedCompositeFieldContainer[_federation_pb2.Task]
    def __init__(self, content: _Optional[_Union[_records_pb2.RecordDict, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[_federation_pb2.Task, _Mapping]]] = ...) -> None: ...

class Await(_message.Message):
    __slots__ = ("task_ids", "poll", "timeout")
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    POLL_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    poll: bool
    timeout: float
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ..., poll: _Optional[bool] = ..., timeout: _Optional[float] = ...) -> None: ...

class BatchDone(_message.Message):
    __slots__ = ("seconds",)
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    def __init__(self, seconds: _Optional[float] = ...) -> None: ...

class ServerAppEnd(_message.Message):
    __slots__ = ("failure", "what")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    failure: str
    what: str
    def __init__(self, failure: _Optional[str] = ..., what: _Optional[str] = ...) -> None: ...
