import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from crm_es.ledger import checkpoint
from crm_es.ledger.checkpoint import Checkpoint, NoteError, parse, parse_vkey, public_of, sign, verify, vkey
from crm_es.ledger.merkle import EMPTY

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
ORIGIN = "log.example/log/01890000-0000-7000-8000-000000000000"
STOOD = Checkpoint(origin=ORIGIN, size=3, root=EMPTY)


def test_a_checkpoint_is_a_signed_note_of_three_lines():
    note = sign(STOOD, KEY)

    assert note.startswith(f"{ORIGIN}\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\N{EM DASH} {ORIGIN} ")
    assert note.endswith("\n")
    assert verify(note, origin=ORIGIN, public=public_of(KEY)) == STOOD


def test_two_keys_sign_where_one_follows_the_other():
    note = sign(STOOD, KEY, OTHER)

    assert verify(note, origin=ORIGIN, public=public_of(KEY)) == STOOD
    assert verify(note, origin=ORIGIN, public=public_of(OTHER)) == STOOD


def test_the_example_key_of_c2sp_is_read_and_written():
    """The vkey of the Go checksum database, which golang.org/x/mod/sumdb/note reads."""
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

    name, public = parse_vkey(text)

    assert name == "sum.golang.org"
    assert vkey(name, public) == text
    assert checkpoint.key_id(name, public).hex() == "033de0ae"


@pytest.mark.parametrize(
    "text", ["", "a", "a+b", "a+00000000+AAAA", "sum.golang.org+033de0af+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(NoteError):
        parse_vkey(text)


def test_another_key_and_another_origin_are_not_believed():
    note = sign(STOOD, KEY)

    with pytest.raises(NoteError, match="No signature"):
        verify(note, origin=ORIGIN, public=public_of(OTHER))
    with pytest.raises(NoteError, match="not of"):
        verify(note, origin=f"{ORIGIN}/2", public=public_of(KEY))


@given(st.integers(0, 300), st.integers(1, 255))
def test_no_byte_of_a_note_can_be_changed(at, flip):
    note = bytearray(sign(STOOD, KEY).encode())
    note[at % len(note)] ^= flip

    with pytest.raises((NoteError, UnicodeDecodeError)):
        verify(note.decode(), origin=ORIGIN, public=public_of(KEY))


@pytest.mark.parametrize(
    "note",
    [
        "",
        "a\n1\n\n",
        "a\n1\nAAAA\n\n\N{EM DASH} a AAAAAAAA\n",
        f"a\n01\n{'A' * 43}=\n\n\N{EM DASH} a AAAAAAAA\n",
        f"a\n1\n{'A' * 43}=\nextension\n\n\N{EM DASH} a AAAAAAAA\n",
        f"a\n1\n{'A' * 43}=\n\n\N{EM DASH} a AAAAAAAA",
        f"a\n1\n{'A' * 43}=\n\n- a AAAAAAAA\n",
        f"a\n1\n{'A' * 43}=\n\n\N{EM DASH} a A\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(note):
    with pytest.raises(NoteError):
        parse(note)
