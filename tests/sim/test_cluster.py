"""Jobs on a simulated cluster: what is verified, what is not, and that everything ends."""

from __future__ import annotations

import pytest
import trio
from doubles.peers import peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node.errors import ExecutionFailed, NotFound
from node.executor.scripted import Play
from node.model import CidInput
from node.transport.memory import Faults

FIVE_OF_FIVE = {"concurrency": 5, "confidence": 4, "min_bids": 5}


def play(scripts, job, faults=None, seed=1, prepare=None):
    """Submit one job to a cluster whose nodes follow these scripts; returns its record and the network's trace."""

    async def main():
        async with cluster(seed, faults) as nodes:
            for script in scripts:
                await nodes.start(script)
            await nodes.settled()
            if prepare is not None:
                prepare(nodes)
            record = await nodes.submit(job)
            return record, tuple(nodes.network.trace)

    return simulate(main)


def test_five_honest_nodes_verify_a_job():
    record, _ = play([says(b"r")] * 5, spec(**FIVE_OF_FIVE))
    assert (record.state, record.verdict.kind) == ("completed", "verified")
    assert [run.agreed for run in record.executions] == [True] * 5
    assert record.results.files == 4
    assert record.kept.exit_code == 0


def test_one_liar_of_five_is_outvoted_and_known():
    record, _ = play([says(b"r")] * 4 + [says(b"wrong")], spec(**FIVE_OF_FIVE))
    assert record.verdict.kind == "verified"
    assert [run.peer for run in record.executions if run.agreed is False] == [peer(4)]


def test_two_liars_of_five_prevent_agreement_and_the_groups_are_shown():
    record, _ = play([says(b"r")] * 3 + [says(b"wrong")] * 2, spec(**FIVE_OF_FIVE))
    assert (record.state, record.verdict.kind) == ("not_verified", "not_verified")
    assert [len(group.peers) for group in record.verdict.groups] == [3, 2]


@pytest.mark.parametrize(
    ("nodes", "bad", "confidence", "verified"), [(3, 0, 0, 3), (3, 1, 0, 2), (2, 1, 0, 0), (5, 2, 4, 0)]
)
def test_the_reference_systems_table_holds_end_to_end(nodes, bad, confidence, verified):
    scripts = [says(b"r")] * (nodes - bad) + [says(b"w")] * bad
    record, _ = play(scripts, spec(concurrency=nodes, confidence=confidence))
    assert sum(run.agreed is True for run in record.executions) == verified
    assert sum(run.agreed is False for run in record.executions) == nodes - verified


@pytest.mark.parametrize(("nodes", "concurrency", "min_bids"), [(1, 1, 0), (3, 3, 3), (3, 2, 0)])
def test_exactly_concurrency_executions_complete(nodes, concurrency, min_bids):
    job = spec("noop", concurrency=concurrency, min_bids=min_bids)
    record, _ = play([says(b"r")] * nodes, job)
    assert [run.state for run in record.executions] == ["proposed"] * concurrency
    assert record.state == "completed"


def test_more_bids_asked_than_nodes_is_a_clear_failure_at_the_bidding_deadline():
    record, _ = play([says(b"r")] * 3, spec(concurrency=3, min_bids=5))
    assert (record.state, record.failure.code) == ("failed", "bids")
    assert "3 of the 5 bids" in record.failure.reason
    assert record.ended_at - record.submitted_at == pytest.approx(10, abs=1)


def test_nodes_without_the_data_decline_and_say_so():
    job = spec(inputs=(CidInput(cid="apples", path="/inputs"),), concurrency=3)
    record, _ = play([says(b"r")] * 3, job)
    assert "3 declined: no unsealed copy of apples is here" in record.failure.reason


def test_nodes_that_hold_the_data_run_on_it():
    job = spec(inputs=(CidInput(cid="apples", path="/inputs"),), concurrency=2)

    def hold(nodes):
        for number in (1, 2):
            (nodes.folder / str(number) / "unsealed/apples").mkdir(parents=True)

    record, _ = play([says(b"r")] * 4, job, prepare=hold)
    assert record.verdict.kind == "verified"
    assert {run.peer for run in record.executions} == {peer(1), peer(2)}


def test_a_run_over_its_time_is_ended_and_the_others_decide():
    record, _ = play([says(b"r")] * 4 + [says(b"r", takes_s=1e6)], spec(**FIVE_OF_FIVE))
    assert record.verdict.kind == "verified"
    assert [run.code for run in record.executions if run.state == "failed"] == ["time"]


def test_when_all_runs_trap_the_job_fails_with_the_reason():
    trap = Play(failure=ExecutionFailed("trap", "unreachable"))
    record, _ = play([lambda _: trap] * 3, spec(concurrency=3))
    assert (record.state, record.failure.code) == ("failed", "executions")
    assert "trap: unreachable" in record.failure.reason


def test_a_node_that_leaves_in_mid_run_is_lost_and_the_others_decide():
    async def main():
        async with cluster(3) as nodes:
            for _ in range(5):
                await nodes.start(says(b"r", takes_s=30))
            await nodes.settled()
            record = await nodes.nodes[0].jobs.submit(CLIENT, spec(**FIVE_OF_FIVE))
            await trio.sleep(5)
            nodes.stop(4)
            return await nodes.told(await nodes.nodes[0].jobs.wait(CLIENT, record.job, 1000))

    record = simulate(main)
    assert record.verdict.kind == "verified"
    assert [(run.peer, run.code) for run in record.executions if run.state == "failed"] == [(peer(4), "lost")]


def test_cancelling_ends_the_runs_and_frees_the_nodes():
    async def main():
        async with cluster(4) as nodes:
            for _ in range(3):
                await nodes.start(says(b"r", takes_s=1000))
            await nodes.settled()
            jobs = nodes.nodes[0].jobs
            record = await jobs.submit(CLIENT, spec(concurrency=3, timeout_s=5000.0))
            await trio.sleep(5)
            ended = await jobs.cancel(CLIENT, record.job)
            await trio.sleep(5)
            left_over = [path for path in nodes.folder.glob("*/scratch/*")]
            return ended, left_over

    ended, left_over = simulate(main)
    assert ended.state == "cancelled"
    assert left_over == []


def test_history_and_receipt_survive_a_restart_and_an_unfinished_job_ends_clearly():
    async def main():
        async with cluster(5) as nodes:
            for _ in range(3):
                await nodes.start(says(b"r"))
            await nodes.settled()
            done = await nodes.submit(spec(concurrency=3))
            jobs = nodes.nodes[0].jobs
            receipt = await jobs.receipt(CLIENT, done.job)
            cut_off = await jobs.submit(CLIENT, spec(concurrency=3, min_bids=9))
            nodes.stop(0)
            await trio.sleep(60)
            await nodes.start(says(b"r"), number=0)
            jobs = nodes.nodes[0].jobs
            assert await nodes.told(await jobs.find(CLIENT, done.job)) == done
            assert await jobs.receipt(CLIENT, done.job) == receipt
            async with jobs.events(CLIENT, done.job, 0) as events:
                kinds = [event.kind async for event in events]
            return await jobs.find(CLIENT, cut_off.job), kinds

    cut_off, kinds = simulate(main)
    assert (cut_off.state, cut_off.failure.code) == ("failed", "restart")
    assert kinds[0] == "submitted"
    assert kinds[-2:] == ["kept", "ended"]


def test_events_arrive_live_in_order_and_end():
    async def main():
        async with cluster(6) as nodes:
            for _ in range(3):
                await nodes.start(says(b"r"))
            await nodes.settled()
            jobs = nodes.nodes[0].jobs
            record = await jobs.submit(CLIENT, spec(concurrency=3))
            async with jobs.events(CLIENT, record.job, 0) as events:
                return [event async for event in events]

    events = simulate(main)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    kinds = [event.kind for event in events]
    assert kinds.count("bid") == kinds.count("drawn") == kinds.count("proposed") == 3
    assert kinds[-3:] == ["verdict", "kept", "ended"]


def test_nobody_sees_another_clients_job():
    async def main():
        async with cluster(7) as nodes:
            await nodes.start(says(b"r"))
            record = await nodes.submit(spec("noop"))
            with pytest.raises(NotFound):
                await nodes.nodes[0].jobs.find("d" * 64, record.job)
            assert await nodes.nodes[0].jobs.recent("d" * 64, 10) == ()

    simulate(main)


WEATHER = st.builds(
    Faults,
    delay_s_max=st.floats(0.01, 2),
    breaks=st.floats(0, 0.2),
    loses=st.floats(0, 0.05),
    blob_breaks=st.floats(0, 0.2),
)


@given(seed=st.integers(0, 2**32), faults=WEATHER, liar=st.integers(0, 4), module=st.random_module())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_liar_of_five_never_wins_and_every_job_ends_whatever_the_weather(seed, faults, liar, module):
    scripts = [says(b"right")] * 5
    scripts[liar] = says(b"wrong")
    record, _ = play(scripts, spec(**FIVE_OF_FIVE), faults, seed)
    assert record.ended
    assert record.ended_at <= record.deadline
    if record.verdict is not None and record.verdict.kind == "verified":
        agreeing = {run.peer for run in record.executions if run.agreed}
        assert peer(liar) not in agreeing
        assert len(agreeing) >= 4


@given(seed=st.integers(0, 2**32), module=st.random_module())
@settings(max_examples=5, deadline=None)
def test_the_same_seed_gives_the_same_history(seed, module):
    """What makes a failing seed worth writing down."""
    import trio._core._run as run

    state = run._r.getstate()
    scripts, faults = [says(b"r")] * 4 + [says(b"w")], Faults(breaks=0.05, loses=0.02)
    first = play(scripts, spec(**FIVE_OF_FIVE), faults, seed)
    run._r.setstate(state)
    second = play(scripts, spec(**FIVE_OF_FIVE), faults, seed)
    assert first[0].executions == second[0].executions
    assert [each[1:] for each in first[1]] == [each[1:] for each in second[1]]
