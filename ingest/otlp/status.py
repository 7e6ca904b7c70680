"""How OTLP says what went wrong: a google.rpc.Status, with a code and a sentence."""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Final

import msgspec
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from core.errors import ApportionError, Forbidden, InvalidInput, TooLarge, Unauthenticated, Unavailable

RETRY_AFTER_SECONDS: Final = 1


@unique
class RpcCode(IntEnum):
    """The codes of google.rpc.Code that are in use here."""

    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_CODES: Final = (
    (Unauthenticated, RpcCode.UNAUTHENTICATED),
    (Forbidden, RpcCode.PERMISSION_DENIED),
    # Without a RetryInfo this tells a client to give up, as it should: the batch will always be too large.
    (TooLarge, RpcCode.RESOURCE_EXHAUSTED),
    (InvalidInput, RpcCode.INVALID_ARGUMENT),
    (Unavailable, RpcCode.UNAVAILABLE),
)


def rpc_code(error: Exception) -> RpcCode:
    """The code that says this; for what nobody expected it is UNAVAILABLE, upon which clients try again."""
    if not isinstance(error, ApportionError):
        return RpcCode.UNAVAILABLE
    return next((code for kind, code in _CODES if isinstance(error, kind)), RpcCode.INVALID_ARGUMENT)


def status(code: RpcCode, message: str) -> bytes:
    """A serialized google.rpc.Status. What is worth another try says when, in a google.rpc.RetryInfo."""
    details = [_RETRY_INFO.SerializeToString()] if code is RpcCode.UNAVAILABLE else []
    return _new("Status", code=code, message=message, details=details).SerializeToString()


def status_json(code: RpcCode, message: str) -> bytes:
    """The same in protobuf's JSON, without details."""
    return msgspec.json.encode({"code": int(code), "message": message})


def _declared() -> DescriptorPool:
    """google/rpc/status.proto and error_details.proto, as far as needed: protobuf itself does not ship them.

    In a pool of its own, since an application may have the full ones in the common pool. Messages inside are declared
    as bytes, which is the same on the wire.
    """
    kinds = FieldDescriptorProto
    file = FileDescriptorProto(name="apportion/status.proto", package="google.rpc", syntax="proto3")
    found = file.message_type.add(name="Status")
    found.field.add(name="code", number=1, type=kinds.TYPE_INT32, label=kinds.LABEL_OPTIONAL)
    found.field.add(name="message", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    found.field.add(name="details", number=3, type=kinds.TYPE_BYTES, label=kinds.LABEL_REPEATED)
    retry = file.message_type.add(name="RetryInfo")
    retry.field.add(name="retry_delay", number=1, type=kinds.TYPE_BYTES, label=kinds.LABEL_OPTIONAL)
    pool = DescriptorPool()
    pool.Add(file)
    return pool


_POOL: Final = _declared()


def _new(name: str, **fields: object) -> Message:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"google.rpc.{name}"))(**fields)


_RETRY_INFO: Final = Any(
    type_url="type.googleapis.com/google.rpc.RetryInfo",
    value=_new("RetryInfo", retry_delay=Duration(seconds=RETRY_AFTER_SECONDS).SerializeToString()).SerializeToString(),
)
