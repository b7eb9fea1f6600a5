"""The shards of a job over HTTP: pages of them, one state alone, and how many a job is shown with."""

from __future__ import annotations

import msgspec
from doubles.apinode import SPEC, serving
from nacl.signing import SigningKey

from node import limits
from node.journal.records import Failure, ShardRecord, Tally
from node.spec import plan_sha256

ALICE = SigningKey(b"a" * 32)
COUNT = 2_500
HUGE = 2**70


def shard(number):
    if number % 100 == 99:
        failure = Failure(code="executions", reason="so")
        return ShardRecord(shard=number, state="failed", failure=failure)
    return ShardRecord(shard=number, state="completed")


async def submitted(node, http):
    job = (await http.post("/v1/jobs", json=SPEC)).json()["id"]
    node.jobs.shard_records[job] = tuple(map(shard, range(COUNT)))
    tally = Tally(completed=COUNT - 25, failed=25)
    node.jobs.records[job] = msgspec.structs.replace(node.jobs.records[job], shards=COUNT, tally=tally)
    return job


def test_all_shards_come_page_by_page(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            job, seen, after = await submitted(node, http), [], -1
            while True:
                page = (await http.get(f"/v1/jobs/{job}/shards?limit=1000&after={after}")).json()["shards"]
                if not page:
                    break
                seen += [item["shard"] for item in page]
                after = seen[-1]
            assert seen == list(range(COUNT))

    serving(tmp_path, scenario)


def test_shards_of_one_state_are_found(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            job = await submitted(node, http)
            page = (await http.get(f"/v1/jobs/{job}/shards?state=failed")).json()["shards"]
            assert [item["shard"] for item in page] == list(range(99, COUNT, 100))
            assert page[0]["failure"] == {"code": "executions", "reason": "so"}

    serving(tmp_path, scenario)


def test_a_job_is_shown_with_those_that_failed_first(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            job = (await http.get(f"/v1/jobs/{await submitted(node, http)}")).json()
            assert (job["shards"], job["tally"]["failed"]) == (COUNT, 25)
            numbers = [item["shard"] for item in job["details"]]
            assert len(numbers) == limits.SHARDS_SHOWN
            assert numbers[:25] == list(range(99, COUNT, 100))
            assert numbers[25:] == [number for number in range(76) if number % 100 != 99][:75]

    serving(tmp_path, scenario)


def test_a_page_says_what_its_shards_see(tmp_path):
    plan = tuple(tuple(f"/inputs/{shard}/{n}" for n in range(shard % 30 + 1)) for shard in range(COUNT))

    async def scenario(node):
        async with node.client(ALICE) as http:
            job = await submitted(node, http)
            node.jobs.plans[job] = plan
            record = msgspec.structs.replace(node.jobs.records[job], plan_sha256=plan_sha256(plan))
            node.jobs.records[job] = record
            pages = [f"/v1/jobs/{job}/shards?limit=60&after=1200", f"/v1/jobs/{job[:8]}/shards?state=failed"]
            shown = [item for page in pages for item in (await http.get(page)).json()["shards"]]
            shown += (await http.get(f"/v1/jobs/{job}")).json()["details"]
            assert len(shown) == 60 + 25 + limits.SHARDS_SHOWN
            for item in shown:
                seen = plan[item["shard"]]
                assert item["paths"] == {"count": len(seen), "first": list(seen[: limits.SHARD_PATHS_SHOWN])}

    serving(tmp_path, scenario)


def test_without_sharding_a_shard_sees_every_input(tmp_path):
    inputs = [{"type": "cid", "cid": "bafy", "path": f"/{number}"} for number in range(12)]

    async def scenario(node):
        async with node.client(ALICE) as http:
            job = (await http.post("/v1/jobs", json=SPEC | {"inputs": inputs})).json()
            first = [f"/{number}" for number in range(limits.SHARD_PATHS_SHOWN)]
            assert job["details"][0]["paths"] == {"count": 12, "first": first}
            page = (await http.get(f"/v1/jobs/{job['id']}/shards")).json()["shards"]
            assert page[0]["paths"] == {"count": 12, "first": first}

    serving(tmp_path, scenario)


def test_what_makes_no_sense_is_refused(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            job = await submitted(node, http)
            numbers = [f"limit={limits.SHARDS_LISTED_MAX + 1}", f"limit={HUGE}", "limit=0", "limit="]
            numbers += [f"after={limits.SHARDS_MAX + 1}", f"after={2**63}", f"after={HUGE}", "after=-2", "after=x"]
            for query in ("state=lost", *numbers):
                refused = await http.get(f"/v1/jobs/{job}/shards?{query}")
                assert (refused.status_code, refused.json()["code"]) == (400, "bad_request"), query
                assert query.partition("=")[0] in refused.json()["detail"]
            assert (await http.get(f"/v1/jobs/{job}/shards?after={limits.SHARDS_MAX}")).json() == {"shards": []}
            assert (await http.get(f"/v1/jobs?limit={HUGE}")).status_code == 400
        async with node.client() as stranger:
            assert (await stranger.get(f"/v1/jobs/{job}/shards")).status_code == 404

    serving(tmp_path, scenario)
