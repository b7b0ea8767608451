"""What is odd without being a replay: told by an alert, denied where the policy is strict."""

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.simulate import body
from monitor.simulate.party import ALICE, BOB
from monitor.simulate.scenarios.common import establish, hang_up, renew
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=True)
STRICT = Policy(strict=True)


def _duplicate(stage: Stage) -> body.Body:
    """A description that uses one key for audio and video (RFC 4568 §6.1 asks for two)."""
    described = stage.describe(BOB, kinds=("audio", "video"))
    text = str(described).replace(str(described.media[1].keys[0]), str(described.media[0].keys[0]))
    return body.Body((("Content-Type", "application/sdp"),), text.encode())


@REPERTOIRE.scenario()
def duplicate_key(stage: Stage) -> None:
    """One key for audio and video: reported."""
    call = stage.call(BOB, ALICE)
    stage.send(call.invite(_duplicate(stage)), Reason.FIRST_USE, "duplicate-key")


@REPERTOIRE.scenario(STRICT)
def duplicate_key_strict(stage: Stage) -> None:
    """One key for audio and video, under a strict policy: denied."""
    call = stage.call(BOB, ALICE)
    stage.send(call.invite(_duplicate(stage)), Reason.DUPLICATE_KEY)


@REPERTOIRE.scenario()
def rekey_missing(stage: Stage) -> None:
    """Bob's media goes to another port under the old key (RFC 4568 §7.1.4 asks for a new one): reported."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.describe(BOB), stage.plain(ALICE)
    establish(stage, call, body.sdp(offer), answer)
    stage.wait(60)
    invite = stage.send(call.invite(body.sdp(offer.changed(port=41100))), Reason.REFRESH, "rekey-missing")
    ok = stage.send(call.reply(invite, 200, answer), Reason.REFRESH)
    stage.send(call.ack(ok, invite))
    stage.wait(60)
    renew(stage, call, body.sdp(offer.changed(port=41100)), answer)
    hang_up(stage, call)


@REPERTOIRE.scenario(STRICT)
def rekey_missing_strict(stage: Stage) -> None:
    """The same under a strict policy: denied, while a hold by 0.0.0.0 is no change of address."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.describe(BOB), stage.plain(ALICE)
    establish(stage, call, body.sdp(offer), answer)
    stage.wait(60)
    stage.send(call.invite(body.sdp(offer.changed(port=41100))), Reason.REKEY_MISSING)
    renew(stage, call, body.sdp(offer.changed(connection="0.0.0.0")), answer)


@REPERTOIRE.scenario()
def originator_moved(stage: Stage) -> None:
    """Somebody at another address calls as Bob, with fresh keys: reported. It may be Bob's other phone."""
    call = stage.call(BOB, ALICE)
    establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    hang_up(stage, call)
    stage.wait(600)
    elsewhere = BOB.at(102)
    call = stage.call(elsewhere, ALICE)
    stage.send(call.invite(stage.plain(elsewhere)), Reason.FIRST_USE, "originator-moved")


@REPERTOIRE.scenario(Policy(originator="deny"))
def originator_bound(stage: Stage) -> None:
    """The same where the policy binds originators to their addresses: denied, until Bob was silent for a
    month.
    """
    call = stage.call(BOB, ALICE)
    establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    hang_up(stage, call)
    stage.wait(600)
    elsewhere = BOB.at(102)
    stage.send(stage.call(elsewhere, ALICE).invite(stage.plain(elsewhere)), Reason.ORIGINATOR_MOVED)
    stage.wait(31 * 86400)
    stage.send(stage.call(elsewhere, ALICE).invite(stage.plain(elsewhere)), Reason.FIRST_USE)
