from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Array(_message.Message):
    __slots__ = ("dtype", "shape", "data", "sha256")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    sha256: bytes
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class ArrayRecord(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("key", "array")
        KEY_FIELD_NUMBER: _ClassVar[int]
        ARRAY_FIELD_NUMBER: _ClassVar[int]
        key: str
        array: Array
        def __init__(self, key: _Optional[str] = ..., array: _Optional[_Union[Array, _Mapping]] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ArrayRecord.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ArrayRecord.Entry, _Mapping]]] = ...) -> None: ...

class Integers(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class Doubles(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class Booleans(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, values: _Optional[_Iterable[bool]] = ...) -> None: ...

class Strings(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class ByteStrings(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class MetricRecord(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("key", "integer", "double", "integers", "doubles")
        KEY_FIELD_NUMBER: _ClassVar[int]
        INTEGER_FIELD_NUMBER: _ClassVar[int]
        DOUBLE_FIELD_NUMBER: _ClassVar[int]
        INTEGERS_FIELD_NUMBER: _ClassVar[int]
        DOUBLES_FIELD_NUMBER: _ClassVar[int]
        key: str
        integer: int
        double: float
        integers: Integers
        doubles: Doubles
        def __init__(self, key: _Optional[str] = ..., integer: _Optional[int] = ..., double: _Optional[float] = ..., integers: _Optional[_Union[Integers, _Mapping]] = ..., doubles: _Optional[_Union[Doubles, _Mapping]] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[MetricRecord.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[MetricRecord.Entry, _Mapping]]] = ...) -> None: ...

class ConfigRecord(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("key", "integer", "double", "boolean", "string", "byte_string", "integers", "doubles", "booleans", "strings", "byte_strings")
        KEY_FIELD_NUMBER: _ClassVar[int]
        INTEGER_FIELD_NUMBER: _ClassVar[int]
        DOUBLE_FIELD_NUMBER: _ClassVar[int]
        BOOLEAN_FIELD_NUMBER: _ClassVar[int]
        STRING_FIELD_NUMBER: _ClassVar[int]
        BYTE_STRING_FIELD_NUMBER: _ClassVar[int]
        INTEGERS_FIELD_NUMBER: _ClassVar[int]
        DOUBLES_FIELD_NUMBER: _ClassVar[int]
        BOOLEANS_FIELD_NUMBER: _ClassVar[int]
        STRINGS_FIELD_NUMBER: _ClassVar[int]
        BYTE_STRINGS_FIELD_NUMBER: _ClassVar[int]
        key: str
        integer: int
        double: float
        boolean: bool
        string: str
        byte_string: bytes
        integers: Integers
        doubles: Doubles
        booleans: Booleans
        strings: Strings
        byte_strings: ByteStrings
        def __init__(self, key: _Optional[str] = ..., integer: _Optional[int] = ..., double: _Optional[float] = ..., boolean: _Optional[bool] = ..., string: _Optional[str] = ..., byte_string: _Optional[bytes] = ..., integers: _Optional[_Union[Integers, _Mapping]] = ..., doubles: _Optional[_Union[Doubles, _Mapping]] = ..., booleans: _Optional[_Union[Booleans, _Mapping]] = ..., strings: _Optional[_Union[Strings, _Mapping]] = ..., byte_strings: _Optional[_Union[ByteStrings, _Mapping]] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ConfigRecord.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ConfigRecord.Entry, _Mapping]]] = ...) -> None: ...

class RecordDict(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("key", "array_record", "metric_record", "config_record")
        KEY_FIELD_NUMBER: _ClassVar[int]
        ARRAY_RECORD_FIELD_NUMBER: _ClassVar[int]
        METRIC_RECORD_FIELD_NUMBER: _ClassVar[int]
        CONFIG_RECORD_FIELD_NUMBER: _ClassVar[int]
        key: str
        array_record: ArrayRecord
        metric_record: MetricRecord
        config_record: ConfigRecord
        def __init__(self, key: _Optional[str] = ..., array_record: _Optional[_Union[ArrayRecord, _Mapping]] = ..., metric_record: _Optional[_Union[MetricRecord, _Mapping]] = ..., config_record: _Optional[_Union[ConfigRecord, _Mapping]] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[RecordDict.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[RecordDict.Entry, _Mapping]]] = ...) -> None: ...
