from __future__ import annotations

from mesh.demo import messages


def test_messages_have_the_wire_format_of_their_schema() -> None:
    assert messages.FindByShortcodeRequest(shortcode="Joy").SerializeToString() == b"\x0a\x03Joy"
    assert messages.Emoji(shortcode="a", unicode="b").SerializeToString() == b"\x0a\x01a\x12\x01b"
    assert messages.VoteRequest(shortcode="Joy").SerializeToString() == b"\x0a\x03Joy"
    assert messages.VoteResponse.FromString(b"\x08\xac\x02").votes == 300
