"""Names of images and their digests, with a real engine and a real registry: pinned once, pulled once, bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from doubles.dockers import Docker, pushed, registry
from integration.docker_runs import ROOMY, Node, on

from node.config import DockerConfig
from node.errors import DriverUnavailable, ResourceError
from node.executor.base import Task
from node.executor.docker.engine import Engine
from node.model import DockerEngine

ECHO = 'CMD ["/bin/echo", "pulled"]'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry") / "registry") as address:
        yield address


def in_the_shop(docker: Docker, name: str, *changes: str, files: dict[str, bytes] | None = None) -> str:
    """The digest of an image that its registry has, and the engine no more."""
    docker.image(*changes, files=files, name=name)
    digest = pushed(docker, name)
    gone(docker, name)
    return digest


def gone(docker: Docker, name: str) -> None:
    with docker.client() as client:
        client.remove_image(name, force=True)


def without_a_command(node: Node, engine: DockerEngine) -> Task:
    """What the image itself says."""
    return node.task("", image=engine.image, digest=engine.digest, image_id=engine.image_id, args=())


def allowing(*hosts: str, **given: int) -> DockerConfig:
    return DockerConfig(registries=hosts, **given)  # type: ignore[arg-type]


def test_a_tag_of_a_registry_is_pinned_and_pulled_by_its_digest(docker: Docker, tmp_path: Path, shop: str) -> None:
    digest = in_the_shop(docker, f"{shop}/one", ECHO)

    async def body(node: Node) -> None:
        pinned = await node.executor.resolved(DockerEngine(image=f"{shop}/one:latest"))
        assert isinstance(pinned, DockerEngine)
        assert (pinned.digest, pinned.image_id) == (digest, None)
        assert await node.executor.looked_up(pinned) == node.executor.identity(pinned)
        assert digest in str(node.executor.identity(pinned))
        assert node.told == [], "looking fetches nothing"
        found = await node.of(without_a_command(node, pinned))
        assert found.stdout == "pulled\n"
        assert node.told == [f"pulling {shop}/one@{digest}"]
        assert (await node.of(without_a_command(node, pinned))).exit_code == 0
        assert len(node.told) == 1, "once"

    on(docker, tmp_path, body, allowing(shop))


def counted_pulls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the engine is asked to pull from now on."""
    found: list[str] = []
    pull = Engine.pull

    async def counted(engine: Engine, repository: str, digest: str, heard: Callable[[dict[str, Any]], None]) -> None:
        found.append(f"{repository}@{digest}")
        await pull(engine, repository, digest, heard)

    monkeypatch.setattr(Engine, "pull", counted)
    return found


def test_many_runs_that_need_an_image_fetch_it_once(
    docker: Docker, tmp_path: Path, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = in_the_shop(docker, f"{shop}/many", ECHO)
    pinned = DockerEngine(image=f"{shop}/many", digest=digest)
    codes: list[int | None] = []
    pulls = counted_pulls(monkeypatch)

    async def one(node: Node) -> None:
        codes.append((await node.of(without_a_command(node, pinned))).exit_code)

    async def body(node: Node) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(one, node)

    on(docker, tmp_path, body, allowing(shop))
    assert codes == [0] * 4
    assert pulls == [f"{shop}/many@{digest}"]
    with docker.client() as client:
        assert client.inspect_image(f"{shop}/many@{digest}")


def test_fetching_an_image_counts_in_the_time_and_an_end_of_it_says_so(
    docker: Docker, tmp_path: Path, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = in_the_shop(docker, f"{shop}/slow", ECHO)

    async def stuck(_: Engine, repository: str, digest: str, heard: Callable[[dict[str, Any]], None]) -> None:
        detail = {"current": 12_500_000, "total": 40_000_000}
        line = {"id": "1", "status": "Downloading", "progressDetail": detail}
        await trio.to_thread.run_sync(heard, line)
        await trio.sleep_forever()

    async def body(node: Node) -> None:
        wanted = without_a_command(node, DockerEngine(image=f"{shop}/slow", digest=digest))
        with monkeypatch.context() as slow:
            slow.setattr(Engine, "pull", stuck)
            found = await node.of(replace(wanted, limits=replace(ROOMY, wall_s=1)))
        assert found.code == "time"
        assert "still being pulled (12 of 40 MB)" in str(found.failure)
        assert "--timeout" in str(found.failure)
        assert (
            await node.of(without_a_command(node, DockerEngine(image=f"{shop}/slow", digest=digest)))
        ).exit_code == 0

    on(docker, tmp_path, body, allowing(shop))


def test_a_run_has_what_its_image_left_of_the_time(
    docker: Docker, tmp_path: Path, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = in_the_shop(docker, f"{shop}/tardy", ECHO)
    pull = Engine.pull

    async def late(engine: Engine, *given: Any) -> None:
        await trio.sleep(2)
        await pull(engine, *given)

    async def body(node: Node) -> None:
        monkeypatch.setattr(Engine, "pull", late)
        wanted = node.task("sleep 1000", image=f"{shop}/tardy", image_id=None, digest=digest)
        found = await node.of(replace(wanted, limits=replace(ROOMY, wall_s=4)))
        assert found.code == "time"
        assert "still running after 4 s, of which its image took" in str(found.failure)

    on(docker, tmp_path, body, allowing(shop))


def test_a_local_tag_of_a_pulled_image_is_pinned_to_the_registrys_digest(
    docker: Docker, tmp_path: Path, shop: str
) -> None:
    docker.image(ECHO, name=f"{shop}/local")
    digest = pushed(docker, f"{shop}/local")

    async def body(node: Node) -> None:
        pinned = await node.executor.resolved(DockerEngine(image=f"{shop}/local"))
        assert isinstance(pinned, DockerEngine)
        assert pinned.digest == digest

    on(docker, tmp_path, body, allowing())


def test_an_image_of_no_registry_is_pinned_to_its_id_and_runs_only_where_that_is(
    docker: Docker, tmp_path: Path
) -> None:
    made = docker.image(ECHO, name="quorate-only-here")

    async def body(node: Node) -> None:
        pinned = await node.executor.resolved(DockerEngine(image="quorate-only-here"))
        assert isinstance(pinned, DockerEngine)
        assert (pinned.digest, pinned.image_id) == (None, made)
        assert (await node.of(without_a_command(node, pinned))).stdout == "pulled\n"
        elsewhere = DockerEngine(image="quorate-only-here", image_id="sha256:" + "0" * 64)
        with pytest.raises(DriverUnavailable, match="in no registry"):
            await node.executor.looked_up(elsewhere)
        assert isinstance((await node.of(without_a_command(node, elsewhere))).failure, DriverUnavailable)

    on(docker, tmp_path, body)


def test_a_digest_needs_no_engine_to_be_pinned(docker: Docker, tmp_path: Path) -> None:
    digest = "sha256:" + "ab" * 32

    async def body(node: Node) -> None:
        pinned = await node.executor.resolved(DockerEngine(image=f"nowhere.example/x@{digest}"))
        assert isinstance(pinned, DockerEngine)
        assert pinned.digest == digest
        with pytest.raises(ResourceError, match="digest is not the one"):
            await node.executor.resolved(DockerEngine(image=f"x@{digest}", digest="sha256:" + "cd" * 32))

    on(docker, tmp_path, body)


def test_what_a_registry_does_not_have_is_declined_and_remembered_for_a_while(
    docker: Docker, tmp_path: Path, shop: str
) -> None:
    missing = DockerEngine(image=f"{shop}/late", digest="sha256:" + "0" * 64)

    async def body(node: Node) -> None:
        for _ in range(2):
            with pytest.raises(DriverUnavailable, match="does not have the image"):
                await node.executor.looked_up(missing)
        with pytest.raises(ResourceError, match="does not have the image") as caught:
            await node.executor.resolved(DockerEngine(image=f"{shop}/late:none"))
        assert not isinstance(caught.value, DriverUnavailable), "it is the name that is wrong"
        assert isinstance((await node.of(without_a_command(node, missing))).failure, DriverUnavailable)
        assert (await node.run("exit 3")).exit_code == 3

    on(docker, tmp_path, body, allowing(shop))


def test_a_registry_that_the_operator_does_not_list_is_not_asked(docker: Docker, tmp_path: Path, shop: str) -> None:
    """A name is an address: whoever writes it would have this node's engine call there."""
    digest = in_the_shop(docker, f"{shop}/unlisted", ECHO)
    wanted = DockerEngine(image=f"{shop}/unlisted", digest=digest)

    async def body(node: Node) -> None:
        with pytest.raises(DriverUnavailable, match="--docker-registry"):
            await node.executor.looked_up(wanted)
        with pytest.raises(ResourceError, match="--docker-registry") as caught:
            await node.executor.resolved(DockerEngine(image=f"{shop}/unlisted"))
        assert not isinstance(caught.value, DriverUnavailable), "it will not be pulled later either"
        assert isinstance((await node.of(without_a_command(node, wanted))).failure, DriverUnavailable)
        assert node.told == []

    on(docker, tmp_path, body)


def test_a_registry_that_is_not_there_is_no_mistake_of_who_names_it(docker: Docker, tmp_path: Path) -> None:
    nobody = "127.0.0.1:1"

    async def body(node: Node) -> None:
        with pytest.raises(DriverUnavailable, match=r"127\.0\.0\.1:1.*digest"):
            await node.executor.resolved(DockerEngine(image=f"{nobody}/some"))

    on(docker, tmp_path, body, allowing(nobody))


def test_an_image_that_is_too_large_is_not_kept(docker: Docker, tmp_path: Path, shop: str) -> None:
    digest = in_the_shop(docker, f"{shop}/large", ECHO, files={"zeros": bytes(20_000_000)})

    async def body(node: Node) -> None:
        found = await node.of(without_a_command(node, DockerEngine(image=f"{shop}/large", digest=digest)))
        assert "limit" in str(found.failure)
        with docker.client() as client:
            assert not [image for image in client.images() if f"{shop}/large@{digest}" in (image["RepoDigests"] or ())]

    on(docker, tmp_path, body, allowing(shop, images_bytes=10_000_000))


def test_images_used_longest_ago_make_room_and_the_operators_own_stay(
    docker: Docker, tmp_path: Path, shop: str
) -> None:
    own = docker.image(ECHO, name="quorate-own")
    digests = {name: in_the_shop(docker, f"{shop}/{name}", ECHO, f"ENV N={name}") for name in ("a", "b", "c")}

    async def body(node: Node) -> None:
        for name in ("a", "b", "a", "c"):
            engine = DockerEngine(image=f"{shop}/{name}", digest=digests[name])
            assert (await node.of(without_a_command(node, engine))).exit_code == 0
            await trio.to_thread.run_sync(docker.until_empty)  # A container keeps its image.
        with docker.client() as client:
            here = {name for image in client.images() for name in image["RepoDigests"] or ()}
            assert client.inspect_image(own)
        assert f"{shop}/b@{digests['b']}" not in here
        assert {f"{shop}/{name}@{digests[name]}" for name in ("a", "c")} <= here

    with docker.client() as client:
        size = client.inspect_image(own)["Size"]
    on(docker, tmp_path, body, allowing(shop, images_bytes=int(size * 2.5)))
