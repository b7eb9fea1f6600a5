"""The description of the API is complete, served without a token, and loads nothing from elsewhere."""

from __future__ import annotations

import re

import httpx
from doubles.apinode import serving

ROUTES = {
    ("get", "/health"),
    ("get", "/v1/node"),
    ("get", "/v1/peers"),
    ("get", "/v1/jobs"),
    ("post", "/v1/jobs"),
    ("post", "/v1/plan"),
    ("get", "/v1/jobs/{job}"),
    ("get", "/v1/jobs/{job}/events"),
    ("get", "/v1/jobs/{job}/logs"),
    ("get", "/v1/jobs/{job}/shards"),
    ("post", "/v1/jobs/{job}/cancel"),
    ("get", "/v1/jobs/{job}/receipt"),
    ("get", "/v1/jobs/{job}/results"),
    ("delete", "/v1/jobs/{job}/results"),
    ("get", "/v1/jobs/{job}/joined-results"),
    ("get", "/v1/jobs/{job}/results/{name}"),
    ("head", "/v1/jobs/{job}/results/{name}"),
    ("post", "/v1/modules"),
    ("get", "/v1/modules/{sha256}"),
    ("head", "/v1/modules/{sha256}"),
}


def with_document(tmp_path, check):
    async def scenario(node):
        async with httpx.AsyncClient(base_url=node.url) as http:
            answer = await http.get("/schema/openapi.json")
            assert (await http.get("/schema")).content == answer.content
            check(answer)
            unknown = await http.get("/schema/N")
            assert unknown.status_code == 404
            assert unknown.headers["content-type"] == "application/problem+json"

    serving(tmp_path, scenario)


def test_every_route_is_described(tmp_path):
    def check(answer):
        document = answer.json()
        assert document["openapi"].startswith("3.1")
        described = {(method, path) for path, item in document["paths"].items() for method in item}
        assert described == ROUTES
        for item in document["paths"].values():
            for operation in item.values():
                assert operation["description"]
                problem = operation["responses"]["default"]["content"]["application/problem+json"]
                assert problem == {"schema": {"$ref": "#/components/schemas/Problem"}}

    with_document(tmp_path, check)


def test_what_needs_a_token_says_so(tmp_path):
    def check(answer):
        document = answer.json()
        is_open = {path for path, item in document["paths"].items() for o in item.values() if "security" not in o}
        assert is_open == {"/health", "/v1/node"}

    with_document(tmp_path, check)


def test_bodies_that_are_read_by_hand_are_described(tmp_path):
    def check(answer):
        paths = answer.json()["paths"]
        spec = paths["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert spec == {"$ref": "#/components/schemas/JobSpec"}
        assert "application/wasm" in paths["/v1/modules"]["post"]["requestBody"]["content"]
        joined = paths["/v1/jobs/{job}/joined-results"]["get"]["responses"]["200"]["content"]
        assert joined == {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        events = paths["/v1/jobs/{job}/events"]["get"]
        assert "text/event-stream" in events["responses"]["200"]["content"]
        assert "Last-Event-ID" in [parameter["name"] for parameter in events["parameters"]]

    with_document(tmp_path, check)


def test_every_reference_leads_somewhere_and_nothing_leads_elsewhere(tmp_path):
    def check(answer):
        names = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
        assert names
        assert names <= answer.json()["components"]["schemas"].keys()
        assert "http:" not in answer.text.replace('"type":"http"', "")
        assert "https:" not in answer.text
        assert "<script" not in answer.text

    with_document(tmp_path, check)
