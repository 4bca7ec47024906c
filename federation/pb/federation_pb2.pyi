from federation.pb import records_pb2 as _records_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DecisionCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_CODE_UNSPECIFIED: _ClassVar[DecisionCode]
    DECISION_CODE_ACCEPTED: _ClassVar[DecisionCode]
    DECISION_CODE_REFUSED: _ClassVar[DecisionCode]
    DECISION_CODE_ABSENT: _ClassVar[DecisionCode]
    DECISION_CODE_FAILED: _ClassVar[DecisionCode]

class TaskErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_ERROR_CODE_UNSPECIFIED: _ClassVar[TaskErrorCode]
    TASK_ERROR_CODE_APP_FAILED: _ClassVar[TaskErrorCode]
    TASK_ERROR_CODE_REFUSED: _ClassVar[TaskErrorCode]
    TASK_ERROR_CODE_WORKER_LOST: _ClassVar[TaskErrorCode]
    TASK_ERROR_CODE_NODE_LOST: _ClassVar[TaskErrorCode]
    TASK_ERROR_CODE_BAD_REPLY: _ClassVar[TaskErrorCode]
DECISION_CODE_UNSPECIFIED: DecisionCode
DECISION_CODE_ACCEPTED: DecisionCode
DECISION_CODE_REFUSED: DecisionCode
DECISION_CODE_ABSENT: DecisionCode
DECISION_CODE_FAILED: DecisionCode
TASK_ERROR_CODE_UNSPECIFIED: TaskErrorCode
TASK_ERROR_CODE_APP_FAILED: TaskErrorCode
TASK_ERROR_CODE_REFUSED: TaskErrorCode
TASK_ERROR_CODE_WORKER_LOST: TaskErrorCode
TASK_ERROR_CODE_NODE_LOST: TaskErrorCode
TASK_ERROR_CODE_BAD_REPLY: TaskErrorCode

class ConnectRequest(_message.Message):
    __slots__ = ("hello", "decision", "reply", "fetch", "chunk", "run_closed", "beat")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RUN_CLOSED_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    hello: NodeHello
    decision: Decision
    reply: Reply
    fetch: Fetch
    chunk: Chunk
    run_closed: RunClosed
    beat: Beat
    def __init__(self, hello: _Optional[_Union[NodeHello, _Mapping]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., reply: _Optional[_Union[Reply, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., run_closed: _Optional[_Union[RunClosed, _Mapping]] = ..., beat: _Optional[_Union[Beat, _Mapping]] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("welcome", "offer", "task", "fetch", "chunk", "run_end", "revocations", "reply_refused", "runner_renewed", "beat", "permit_revocations")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RUN_END_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    REPLY_REFUSED_FIELD_NUMBER: _ClassVar[int]
    RUNNER_RENEWED_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    PERMIT_REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    welcome: NodeWelcome
    offer: Offer
    task: Task
    fetch: Fetch
    chunk: Chunk
    run_end: RunEnd
    revocations: RevocationList
    reply_refused: ReplyRefused
    runner_renewed: RunnerRenewed
    beat: Beat
    permit_revocations: PermitRevocations
    def __init__(self, welcome: _Optional[_Union[NodeWelcome, _Mapping]] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., task: _Optional[_Union[Task, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., run_end: _Optional[_Union[RunEnd, _Mapping]] = ..., revocations: _Optional[_Union[RevocationList, _Mapping]] = ..., reply_refused: _Optional[_Union[ReplyRefused, _Mapping]] = ..., runner_renewed: _Optional[_Union[RunnerRenewed, _Mapping]] = ..., beat: _Optional[_Union[Beat, _Mapping]] = ..., permit_revocations: _Optional[_Union[PermitRevocations, _Mapping]] = ...) -> None: ...

class ConductRequest(_message.Message):
    __slots__ = ("open", "task", "fetch", "chunk", "run_end", "reply_refused", "beat", "more", "takes_more")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RUN_END_FIELD_NUMBER: _ClassVar[int]
    REPLY_REFUSED_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    TAKES_MORE_FIELD_NUMBER: _ClassVar[int]
    open: RunOpen
    task: Task
    fetch: Fetch
    chunk: Chunk
    run_end: RunEnd
    reply_refused: ReplyRefused
    beat: Beat
    more: _containers.RepeatedCompositeFieldContainer[ConductRequest]
    takes_more: bool
    def __init__(self, open: _Optional[_Union[RunOpen, _Mapping]] = ..., task: _Optional[_Union[Task, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., run_end: _Optional[_Union[RunEnd, _Mapping]] = ..., reply_refused: _Optional[_Union[ReplyRefused, _Mapping]] = ..., beat: _Optional[_Union[Beat, _Mapping]] = ..., more: _Optional[_Iterable[_Union[ConductRequest, _Mapping]]] = ..., takes_more: _Optional[bool] = ...) -> None: ...

class ConductResponse(_message.Message):
    __slots__ = ("decision", "reply", "fetch", "chunk", "continued", "away", "beat", "more", "takes_more")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    TAKES_MORE_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    reply: Reply
    fetch: Fetch
    chunk: Chunk
    continued: RunContinued
    away: NodeAway
    beat: Beat
    more: _containers.RepeatedCompositeFieldContainer[ConductResponse]
    takes_more: bool
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., reply: _Optional[_Union[Reply, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., continued: _Optional[_Union[RunContinued, _Mapping]] = ..., away: _Optional[_Union[NodeAway, _Mapping]] = ..., beat: _Optional[_Union[Beat, _Mapping]] = ..., more: _Optional[_Iterable[_Union[ConductResponse, _Mapping]]] = ..., takes_more: _Optional[bool] = ...) -> None: ...

class NodeHello(_message.Message):
    __slots__ = ("protocol_major", "protocol_minor", "software", "datasets", "nonce", "continues", "beats")
    PROTOCOL_MAJOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MINOR_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_FIELD_NUMBER: _ClassVar[int]
    BEATS_FIELD_NUMBER: _ClassVar[int]
    protocol_major: int
    protocol_minor: int
    software: str
    datasets: _containers.RepeatedCompositeFieldContainer[DatasetAnnouncement]
    nonce: bytes
    continues: bool
    beats: bool
    def __init__(self, protocol_major: _Optional[int] = ..., protocol_minor: _Optional[int] = ..., software: _Optional[str] = ..., datasets: _Optional[_Iterable[_Union[DatasetAnnouncement, _Mapping]]] = ..., nonce: _Optional[bytes] = ..., continues: _Optional[bool] = ..., beats: _Optional[bool] = ...) -> None: ...

class DatasetAnnouncement(_message.Message):
    __slots__ = ("id", "version", "report_json", "held_here", "privacy_left")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REPORT_JSON_FIELD_NUMBER: _ClassVar[int]
    HELD_HERE_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_LEFT_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    report_json: str
    held_here: bool
    privacy_left: float
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., report_json: _Optional[str] = ..., held_here: _Optional[bool] = ..., privacy_left: _Optional[float] = ...) -> None: ...

class NodeWelcome(_message.Message):
    __slots__ = ("protocol_major", "protocol_minor", "node", "open_runs", "gateway_chain_pem", "signature", "time", "revocations")
    PROTOCOL_MAJOR_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MINOR_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OPEN_RUNS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_CHAIN_PEM_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    protocol_major: int
    protocol_minor: int
    node: str
    open_runs: _containers.RepeatedScalarFieldContainer[str]
    gateway_chain_pem: bytes
    signature: bytes
    time: float
    revocations: RevocationList
    def __init__(self, protocol_major: _Optional[int] = ..., protocol_minor: _Optional[int] = ..., node: _Optional[str] = ..., open_runs: _Optional[_Iterable[str]] = ..., gateway_chain_pem: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., time: _Optional[float] = ..., revocations: _Optional[_Union[RevocationList, _Mapping]] = ...) -> None: ...

class RevocationList(_message.Message):
    __slots__ = ("crl_der", "issuer_pem")
    CRL_DER_FIELD_NUMBER: _ClassVar[int]
    ISSUER_PEM_FIELD_NUMBER: _ClassVar[int]
    crl_der: bytes
    issuer_pem: bytes
    def __init__(self, crl_der: _Optional[bytes] = ..., issuer_pem: _Optional[bytes] = ...) -> None: ...

class PermitRevocations(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class AuditHead(_message.Message):
    __slots__ = ("number", "hash", "signature")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    number: int
    hash: str
    signature: bytes
    def __init__(self, number: _Optional[int] = ..., hash: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Countersignature(_message.Message):
    __slots__ = ("head", "signature")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    head: AuditHead
    signature: bytes
    def __init__(self, head: _Optional[_Union[AuditHead, _Mapping]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("run_id", "app_sha256", "dataset", "dataset_version", "permit", "purpose", "seed", "config", "audit_head", "runner_signature", "runner_chain_pem", "app_signature")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    APP_SHA256_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    DATASET_VERSION_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    RUNNER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    RUNNER_CHAIN_PEM_FIELD_NUMBER: _ClassVar[int]
    APP_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    app_sha256: bytes
    dataset: str
    dataset_version: int
    permit: str
    purpose: str
    seed: int
    config: _records_pb2.ConfigRecord
    audit_head: AuditHead
    runner_signature: bytes
    runner_chain_pem: bytes
    app_signature: str
    def __init__(self, run_id: _Optional[str] = ..., app_sha256: _Optional[bytes] = ..., dataset: _Optional[str] = ..., dataset_version: _Optional[int] = ..., permit: _Optional[str] = ..., purpose: _Optional[str] = ..., seed: _Optional[int] = ..., config: _Optional[_Union[_records_pb2.ConfigRecord, _Mapping]] = ..., audit_head: _Optional[_Union[AuditHead, _Mapping]] = ..., runner_signature: _Optional[bytes] = ..., runner_chain_pem: _Optional[bytes] = ..., app_signature: _Optional[str] = ...) -> None: ...

class RunOpen(_message.Message):
    __slots__ = ("run_id", "places", "timeout", "continues", "grace", "beats")
    class Place(_message.Message):
        __slots__ = ("node", "offer")
        NODE_FIELD_NUMBER: _ClassVar[int]
        OFFER_FIELD_NUMBER: _ClassVar[int]
        node: str
        offer: Offer
        def __init__(self, node: _Optional[str] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    BEATS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    places: _containers.RepeatedCompositeFieldContainer[RunOpen.Place]
    timeout: float
    continues: bool
    grace: float
    beats: bool
    def __init__(self, run_id: _Optional[str] = ..., places: _Optional[_Iterable[_Union[RunOpen.Place, _Mapping]]] = ..., timeout: _Optional[float] = ..., continues: _Optional[bool] = ..., grace: _Optional[float] = ..., beats: _Optional[bool] = ...) -> None: ...

class Beat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RunContinued(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeAway(_message.Message):
    __slots__ = ("node", "final")
    NODE_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    node: str
    final: str
    def __init__(self, node: _Optional[str] = ..., final: _Optional[str] = ...) -> None: ...

class RunnerRenewed(_message.Message):
    __slots__ = ("run_id", "runner_signature", "runner_chain_pem")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RUNNER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    RUNNER_CHAIN_PEM_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    runner_signature: bytes
    runner_chain_pem: bytes
    def __init__(self, run_id: _Optional[str] = ..., runner_signature: _Optional[bytes] = ..., runner_chain_pem: _Optional[bytes] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("run_id", "node", "code", "reason", "audit_head", "identity", "countersignature", "privacy_left")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_LEFT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    node: str
    code: DecisionCode
    reason: str
    audit_head: AuditHead
    identity: str
    countersignature: Countersignature
    privacy_left: float
    def __init__(self, run_id: _Optional[str] = ..., node: _Optional[str] = ..., code: _Optional[_Union[DecisionCode, str]] = ..., reason: _Optional[str] = ..., audit_head: _Optional[_Union[AuditHead, _Mapping]] = ..., identity: _Optional[str] = ..., countersignature: _Optional[_Union[Countersignature, _Mapping]] = ..., privacy_left: _Optional[float] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("run_id", "task_id", "node", "message_type", "group_id", "content", "ttl")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: str
    node: str
    message_type: str
    group_id: str
    content: _records_pb2.RecordDict
    ttl: float
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., node: _Optional[str] = ..., message_type: _Optional[str] = ..., group_id: _Optional[str] = ..., content: _Optional[_Union[_records_pb2.RecordDict, _Mapping]] = ..., ttl: _Optional[float] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("run_id", "task_id", "node", "content", "error", "app_seconds", "traffic")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    APP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: str
    node: str
    content: _records_pb2.RecordDict
    error: TaskError
    app_seconds: float
    traffic: Traffic
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., node: _Optional[str] = ..., content: _Optional[_Union[_records_pb2.RecordDict, _Mapping]] = ..., error: _Optional[_Union[TaskError, _Mapping]] = ..., app_seconds: _Optional[float] = ..., traffic: _Optional[_Union[Traffic, _Mapping]] = ...) -> None: ...

class Traffic(_message.Message):
    __slots__ = ("to_node", "from_node")
    TO_NODE_FIELD_NUMBER: _ClassVar[int]
    FROM_NODE_FIELD_NUMBER: _ClassVar[int]
    to_node: int
    from_node: int
    def __init__(self, to_node: _Optional[int] = ..., from_node: _Optional[int] = ...) -> None: ...

class TaskError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: TaskErrorCode
    message: str
    def __init__(self, code: _Optional[_Union[TaskErrorCode, str]] = ..., message: _Optional[str] = ...) -> None: ...

class Fetch(_message.Message):
    __slots__ = ("run_id", "sha256", "offset", "length", "zstd", "node")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    ZSTD_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    sha256: bytes
    offset: int
    length: int
    zstd: bool
    node: str
    def __init__(self, run_id: _Optional[str] = ..., sha256: _Optional[bytes] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ..., zstd: _Optional[bool] = ..., node: _Optional[str] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("run_id", "sha256", "offset", "data", "size", "missing", "zstd", "node")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    ZSTD_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    sha256: bytes
    offset: int
    data: bytes
    size: int
    missing: bool
    zstd: bool
    node: str
    def __init__(self, run_id: _Optional[str] = ..., sha256: _Optional[bytes] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., size: _Optional[int] = ..., missing: _Optional[bool] = ..., zstd: _Optional[bool] = ..., node: _Optional[str] = ...) -> None: ...

class ReplyRefused(_message.Message):
    __slots__ = ("run_id", "task_id", "node", "reason")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    task_id: str
    node: str
    reason: str
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., node: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RunEnd(_message.Message):
    __slots__ = ("run_id", "outcome", "audit_head", "countersignature")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNATURE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    outcome: str
    audit_head: AuditHead
    countersignature: Countersignature
    def __init__(self, run_id: _Optional[str] = ..., outcome: _Optional[str] = ..., audit_head: _Optional[_Union[AuditHead, _Mapping]] = ..., countersignature: _Optional[_Union[Countersignature, _Mapping]] = ...) -> None: ...

class RunClosed(_message.Message):
    __slots__ = ("run_id", "audit_head", "countersignature")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    COUNTERSIGNATURE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    audit_head: AuditHead
    countersignature: Countersignature
    def __init__(self, run_id: _Optional[str] = ..., audit_head: _Optional[_Union[AuditHead, _Mapping]] = ..., countersignature: _Optional[_Union[Countersignature, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("identity", "serial", "connected", "last_seen", "certificate_expires", "software", "runs", "privacy_left")
    class PrivacyLeftEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_LEFT_FIELD_NUMBER: _ClassVar[int]
    identity: str
    serial: str
    connected: float
    last_seen: float
    certificate_expires: float
    software: str
    runs: _containers.RepeatedScalarFieldContainer[str]
    privacy_left: _containers.ScalarMap[str, float]
    def __init__(self, identity: _Optional[str] = ..., serial: _Optional[str] = ..., connected: _Optional[float] = ..., last_seen: _Optional[float] = ..., certificate_expires: _Optional[float] = ..., software: _Optional[str] = ..., runs: _Optional[_Iterable[str]] = ..., privacy_left: _Optional[_Mapping[str, float]] = ...) -> None: ...
