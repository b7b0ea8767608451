"""Requests and answers as packets."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.cms.enveloped import Algorithm, Recipient
from monitor.keys import protocol
from monitor.keys.request import UnwrapAnswer, UnwrapRequest

recipients = st.builds(
    Recipient,
    st.sampled_from(["ktri", "kari", "kekri", "pwri", "ori"]),
    st.binary(max_size=300),
    st.builds(Algorithm, st.from_regex(r"[0-2](\.[0-9]{1,5}){1,8}", fullmatch=True), st.binary(max_size=50)),
    st.binary(max_size=50),
    st.integers(-(2**200), 2**200),
    st.binary(max_size=20),
    st.binary(max_size=100),
    st.binary(max_size=30),
)


@given(
    st.integers(0, 2**64 - 1),
    st.builds(
        UnwrapRequest,
        st.lists(recipients, max_size=4).map(tuple),
        st.integers(0, 64),
        st.binary(max_size=16),
    ),
)
def test_requests_come_back(number: int, request: UnwrapRequest) -> None:
    assert protocol.decode_request(protocol.encode_request(number, request)) == (number, request)


@given(st.integers(0, 2**64 - 1), st.lists(st.binary(max_size=64), max_size=4))
def test_answers_come_back(number: int, keys: list[bytes]) -> None:
    answer = UnwrapAnswer(keys[0], tuple(keys[1:])) if keys else UnwrapAnswer(None)
    assert protocol.decode_answer(protocol.encode_answer(number, answer)) == (number, answer)
