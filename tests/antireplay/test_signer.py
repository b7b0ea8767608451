"""What an address-of-record has signed with, and when a new certificate is told."""

import pytest

from monitor.antireplay.association import RecordError
from monitor.antireplay.signer import MAX_CERTIFICATES, Signer, sign


def told(*certificates: str) -> list[bool]:
    """Whether each was told, said one after the other, through the store's form."""
    signer, changes = None, []
    for certificate in certificates:
        changed, signer = sign(signer, certificate)
        signer = Signer.decode(signer.encode())
        changes.append(changed)
    return changes


def test_each_new_certificate_of_a_known_signer_is_told_once() -> None:
    assert told("a", "a", "b", "a", "b", "c") == [False, False, True, False, False, True]


def test_what_was_used_least_recently_is_forgotten() -> None:
    many = [str(number) for number in range(MAX_CERTIFICATES)]
    assert told(*many, "0", "more", "0", "1")[-4:] == [False, True, False, True]


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"[1]", b'[1,"dialog",[]]', b'[2,"signer",[]]', b'[1,"signer",5]']
)
def test_another_record_is_an_error(record: bytes) -> None:
    with pytest.raises(RecordError, match="signer record"):
        Signer.decode(record)
