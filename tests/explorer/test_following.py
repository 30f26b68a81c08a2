"""The explorer follows its dataset without a restart."""

from __future__ import annotations

from fastapi.testclient import TestClient
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.explorer import Explorer, make_app


def test_search_works_as_soon_as_there_is_an_index(changing_world: World) -> None:
    output = str(changing_world.output)
    explorer = Explorer(output, name="more")
    explorer.load_models()
    assert explorer.models.wait(60)
    client = TestClient(make_app(explorer), "http://localhost")
    assert explorer.models.state == "failed"
    assert "Search does not work" in client.get("/").text
    assert client.get("/api/search", params={"q": "a farm"}).status_code == 400
    assert main(["index", output, "--name", "more"]) == 0
    explorer._looked_at -= 1  # as after a second
    found = client.get("/api/search", params={"q": "a farm"})
    assert found.status_code == 200
    assert found.json()["moments"]
    assert explorer.models.state == "ready"
    assert "Search does not work" not in client.get("/").text
