"""The OpenAPI description against the real API: what it promises is what comes back."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from task_lab.runtime.servers import NativeServers
from task_platform.api.problems import KINDS, MEDIA_TYPE, PREFIX
from task_platform.settings import Settings

from .examples import examples
from .wire import api_processes

AnyCase = Case[Any]

# What a schema cannot say: no NUL, no `3.0` for an integer, payloads of known types have their own
# schema.
BEYOND_SCHEMAS = [positive_data_acceptance]
# A batch is answered with 200, and each bad item in its place.
BEYOND_BATCHES = [positive_data_acceptance, negative_data_rejection]


def excluded(case: AnyCase) -> list[Any]:
    """Checks of schemathesis that this API does not mean to pass."""
    return BEYOND_BATCHES if case.path == "/tasks/batch" else BEYOND_SCHEMAS


class Tally:
    """Counts the answers, and holds every error to what the reference says of errors."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()

    def check(self, _: CheckContext, response: Response, case: AnyCase) -> None:
        """A check of schemathesis."""
        status = response.status_code
        self.statuses[status] += 1
        self.answers[f"{case.operation.label} {status}"] += 1
        assert status < 500
        body = response.content.decode("utf-8")
        if status >= 400:
            assert response.headers["content-type"] == [MEDIA_TYPE]
            self._check_problem(json.loads(body), status)
        elif case.path == "/tasks/batch":
            for item in json.loads(body)["items"]:
                assert (item["task"] is None) is (item["status"] >= 400)
                if item["status"] >= 400:
                    self._check_problem(item["error"], item["status"])
        if status in (200, 201) and case.method == "POST" and case.path == "/tasks":
            has_key = "Idempotency-Key" in (case.headers or {})
            assert ("idempotency-expires" in response.headers) is has_key

    def _check_problem(self, problem: dict[str, Any], status: int) -> None:
        assert problem["type"].removeprefix(PREFIX) in KINDS
        assert (problem["status"], status < 500) == (status, True)

    def __str__(self) -> str:
        each = ", ".join(f"{count} of {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.statuses.total()} requests: {each}"


@pytest.fixture(scope="module")
def schema(
    servers: NativeServers, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[schemathesis.BaseSchema]:
    """The description that a running API gives of itself; its database is filled by nobody else."""
    name = f"fuzz_{secrets.token_hex(4)}"
    settings = Settings.model_validate(
        {
            "database_url": servers.create_database(name, template=migrated_template),
            "amqp_url": servers.create_vhost(name),
        }
    )
    with api_processes(servers, settings, 1, tmp_path_factory.mktemp("api")) as (process,):
        yield schemathesis.openapi.from_url(f"{process.url}/openapi.json")
    servers.drop_database(name)
    servers.delete_vhost(name)


def run_settings(count: int, *, repeatable: bool = False) -> hypothesis_settings:
    return hypothesis_settings(
        examples(count, repeatable=repeatable),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


def fuzz_operations(
    schema: schemathesis.BaseSchema, tally: Tally, how: hypothesis_settings
) -> None:
    """Ask every operation with requests that fit the description, and with some that do not."""
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == 4
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @how
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: AnyCase) -> None:
                case.call_and_validate(
                    additional_checks=[tally.check], excluded_checks=excluded(case)
                )

            ask()


def fuzz_sequences(schema: schemathesis.BaseSchema, tally: Tally, requests: int) -> None:
    """Follow the links from answer to request: submit, then get; page to page."""

    class Client(schema.as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Response, case: AnyCase, **kwargs: Any) -> None:
            case.validate_response(
                response,
                additional_checks=[tally.check],
                excluded_checks=excluded(case),
                **kwargs,
            )

    end = tally.statuses.total() + requests
    while tally.statuses.total() < end:
        # Hypothesis wants the same answers to the same sequence; an API that remembers keys and
        # tasks cannot give them. It then stops, and begins anew here. What a check finds is not
        # this error.
        with suppress(FlakyStrategyDefinition):
            Client.run(settings=run_settings(10))


def test_the_api_is_as_described(schema: schemathesis.BaseSchema) -> None:
    tally = Tally()
    fuzz_operations(schema, tally, run_settings(40, repeatable=True))
    assert {200, 201, 404, 422} <= set(tally.statuses)


def test_the_links_lead_where_they_are_described(schema: schemathesis.BaseSchema) -> None:
    tally = Tally()
    fuzz_sequences(schema, tally, 100)
    assert tally.answers["POST /tasks 201"]
    # Only by a link: made-up ids lead nowhere.
    assert tally.answers["GET /tasks/{task_id} 200"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thousands_of_requests_find_nothing_that_is_not_described(
    schema: schemathesis.BaseSchema, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally()
    fuzz_operations(schema, tally, run_settings(700))
    fuzz_sequences(schema, tally, 1_000)
    with capsys.disabled():
        print(f"\nfuzzing: {tally}")  # noqa: T201
    assert tally.statuses.total() >= 5_000
    assert tally.answers["GET /tasks/{task_id} 200"] >= 100
