"""The protobuf messages of the voting application, described at run time: no generated code, no compiler to install.

syntax = "proto3";
package emojivoto.v1;
message FindByShortcodeRequest { string shortcode = 1; }
message Emoji { string shortcode = 1; string unicode = 2; }
message VoteRequest { string shortcode = 1; }
message VoteResponse { int64 votes = 1; }
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "emojivoto.v1"
_SCHEMA = {
    "FindByShortcodeRequest": {"shortcode": _Field.TYPE_STRING},
    "Emoji": {"shortcode": _Field.TYPE_STRING, "unicode": _Field.TYPE_STRING},
    "VoteRequest": {"shortcode": _Field.TYPE_STRING},
    "VoteResponse": {"votes": _Field.TYPE_INT64},
}


def _describe_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="emojivoto/v1/emojivoto.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            message.field.add(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_describe_file())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


FindByShortcodeRequest = _message("FindByShortcodeRequest")
Emoji = _message("Emoji")
VoteRequest = _message("VoteRequest")
VoteResponse = _message("VoteResponse")
