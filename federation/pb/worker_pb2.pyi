from federation.pb import federation_pb2 as _federation_pb2
from federation.pb import records_pb2 as _records_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerRequest(_message.Message):
    __slots__ = ("start", "task")
    START_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    start: WorkerStart
    task: _federation_pb2.Task
    def __init__(self, start: _Optional[_Union[WorkerStart, _Mapping]] = ..., task: _Optional[_Union[_federation_pb2.Task, _Mapping]] = ...) -> None: ...

class WorkerStart(_message.Message):
    __slots__ = ("app_folder", "client_app", "run_id", "node", "seed", "run_config", "node_config", "inbox", "outbox", "state")
    APP_FOLDER_FIELD_NUMBER: _ClassVar[int]
    CLIENT_APP_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RUN_CONFIG_FIELD_NUMBER: _ClassVar[int]
    NODE_CONFIG_FIELD_NUMBER: _ClassVar[int]
    INBOX_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    app_folder: str
    client_app: str
    run_id: str
    node: str
    seed: int
    run_config: _records_pb2.ConfigRecord
    node_config: _records_pb2.ConfigRecord
    inbox: str
    outbox: str
    state: _records_pb2.RecordDict
    def __init__(self, app_folder: _Optional[str] = ..., client_app: _Optional[str] = ..., run_id: _Optional[str] = ..., node: _Optional[str] = ..., seed: _Optional[int] = ..., run_config: _Optional[_Union[_records_pb2.ConfigRecord, _Mapping]] = ..., node_config: _Optional[_Union[_records_pb2.ConfigRecord, _Mapping]] = ..., inbox: _Optional[str] = ..., outbox: _Optional[str] = ..., state: _Optional[_Union[_records_pb2.RecordDict, _Mapping]] = ...) -> None: ...

class WorkerResponse(_message.Message):
    __slots__ = ("ready", "reply", "state")
    READY_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ready: WorkerReady
    reply: _federation_pb2.Reply
    state: _records_pb2.RecordDict
    def __init__(self, ready: _Optional[_Union[WorkerReady, _Mapping]] = ..., reply: _Optional[_Union[_federation_pb2.Reply, _Mapping]] = ..., state: _Optional[_Union[_records_pb2.RecordDict, _Mapping]] = ...) -> None: ...

class WorkerReady(_message.Message):
    __slots__ = ("error",)
    ERROR_FIELD_NUMBER: _ClassVar[int]
    error: str
    def __init__(self, error: _Optional[str] = ...) -> None: ...
