from federation.pb import federation_pb2 as _federation_pb2
from federation.pb import records_pb2 as _records_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JournalEntry(_message.Message):
    __slots__ = ("start", "push", "reply", "answer", "nodes")
    START_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    start: JournalStart
    push: JournalPush
    reply: _federation_pb2.Reply
    answer: JournalAnswer
    nodes: JournalNodes
    def __init__(self, start: _Optional[_Union[JournalStart, _Mapping]] = ..., push: _Optional[_Union[JournalPush, _Mapping]] = ..., reply: _Optional[_Union[_federation_pb2.Reply, _Mapping]] = ..., answer: _Optional[_Union[JournalAnswer, _Mapping]] = ..., nodes: _Optional[_Union[JournalNodes, _Mapping]] = ...) -> None: ...

class JournalStart(_message.Message):
    __slots__ = ("spec_sha256", "flower", "started", "decisions")
    SPEC_SHA256_FIELD_NUMBER: _ClassVar[int]
    FLOWER_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    spec_sha256: bytes
    flower: str
    started: float
    decisions: _containers.RepeatedCompositeFieldContainer[_federation_pb2.Decision]
    def __init__(self, spec_sha256: _Optional[bytes] = ..., flower: _Optional[str] = ..., started: _Optional[float] = ..., decisions: _Optional[_Iterable[_Union[_federation_pb2.Decision, _Mapping]]] = ...) -> None: ...

class JournalPush(_message.Message):
    __slots__ = ("first", "sha256")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    first: int
    sha256: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, first: _Optional[int] = ..., sha256: _Optional[_Iterable[bytes]] = ...) -> None: ...

class JournalAnswer(_message.Message):
    __slots__ = ("number", "replies", "settled")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    number: int
    replies: int
    settled: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, number: _Optional[int] = ..., replies: _Optional[int] = ..., settled: _Optional[_Iterable[str]] = ...) -> None: ...

class JournalNodes(_message.Message):
    __slots__ = ("number", "nodes")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    number: int
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, number: _Optional[int] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class RecordedReply(_message.Message):
    __slots__ = ("reply", "task_sha256", "state")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    TASK_SHA256_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    reply: _federation_pb2.Reply
    task_sha256: bytes
    state: _records_pb2.RecordDict
    def __init__(self, reply: _Optional[_Union[_federation_pb2.Reply, _Mapping]] = ..., task_sha256: _Optional[bytes] = ..., state: _Optional[_Union[_records_pb2.RecordDict, _Mapping]] = ...) -> None: ...
