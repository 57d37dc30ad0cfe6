"""The request of `/execute` as a pydantic model: what is allowed, field by field."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast, Field

from runyard.protocols.files import MOST_FILES
from runyard.protocols.limits import complaint
from runyard.protocols.tasks import RETRIABLE

LANGUAGE = r"^[a-z0-9][a-z0-9_.+-]{0,31}(:[a-z0-9][a-z0-9_.-]{0,31})?$"
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
NOT_YET = frozenset({"expires_in", "callback_url"})


def _encodable(text: str) -> str:
    """Refuse what cannot be passed on: lone surrogates, and NUL, at which C strings end."""
    if "\0" in text:
        raise ValueError(f"must not hold NUL (character {text.index(chr(0))})")
    return _no_surrogates(text)


def _no_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"must not hold a lone surrogate (character {error.start})") from None
    return text


def _env_names(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not ENV_NAME.fullmatch(name):
            raise ValueError("names must be letters, digits and '_', not starting with a digit")
    return env


def _limit(name: str) -> Any:
    def check(value: Any) -> Any:
        wrong = complaint(name, value)
        if wrong is not None:
            raise ValueError(wrong)
        return value

    return AfterValidator(check)


def _whole(value: Any) -> Any:
    """Take 2.0 for 2, as JSON Schema does; last of a type's validators, so it runs first."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
Text = Annotated[str, AfterValidator(_encodable)]
LabelName = Annotated[str, Field(max_length=64), AfterValidator(_encodable)]
ShortText = Annotated[str, Field(max_length=256), AfterValidator(_encodable)]
Content = Annotated[str, AfterValidator(_no_surrogates)]


class LimitsModel(BaseModel):
    """Bounds of one task; each has a default and a maximum."""

    model_config = ConfigDict(extra="forbid")

    wall_s: Annotated[float, _limit("wall_s")] | None = None
    cpu_s: Annotated[float, _limit("cpu_s")] | None = None
    memory_bytes: Annotated[int, _limit("memory_bytes"), WHOLE] | None = None
    processes: Annotated[int, _limit("processes"), WHOLE] | None = None
    output_bytes: Annotated[int, _limit("output_bytes"), WHOLE] | None = None
    file_bytes: Annotated[int, _limit("file_bytes"), WHOLE] | None = None
    disk_bytes: Annotated[int, _limit("disk_bytes"), WHOLE] | None = None


def _retriable(names: list[str]) -> list[str]:
    for name in names:
        if name not in RETRIABLE:
            raise ValueError(f"must be of {', '.join(sorted(RETRIABLE))}")
    return names


class RetryModel(BaseModel):
    """What of its own doing a task is tried again after, apart from `attempts`."""

    model_config = ConfigDict(extra="forbid")

    max: Annotated[int, Field(ge=1, le=10), WHOLE] = 1
    on: Annotated[
        list[str], Field(min_length=1, max_length=len(RETRIABLE)), AfterValidator(_retriable)
    ] = ["runtime_error", "format_error"]
    backoff: Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)] = 1.0


class FileModel(BaseModel):
    """A file that is put beside the program; what its name may be is in protocols/files.py."""

    model_config = ConfigDict(extra="forbid")

    name: Text
    content: Content
    encoding: Literal["utf8", "base64"] = "utf8"


class ExecuteOptions(BaseModel):
    """What goes with the code, in a query, a form or a JSON object."""

    model_config = ConfigDict(extra="forbid")

    language: Annotated[str, Field(pattern=LANGUAGE)] = "python"
    timeout: Annotated[float, _limit("wall_s")] | None = None
    attempts: Annotated[int, Field(ge=1, le=10), WHOLE] = 3
    priority: Annotated[int, Field(ge=-100, le=100), WHOLE] = 0
    name: ShortText | None = None
    format: Any = None
    network: bool | None = None
    on_disconnect: Literal["cancel", "continue"] = "cancel"
    wait: bool = True
    fresh: bool = False


class ExecuteRequest(ExecuteOptions):
    """The JSON object of `POST /execute`."""

    code: Content
    stdin: Content = ""
    args: Annotated[list[Text], FailFast(), Field(max_length=1024)] = []
    env: Annotated[dict[str, Text], Field(max_length=1024), AfterValidator(_env_names)] = {}
    files: Annotated[list[FileModel], FailFast(), Field(max_length=MOST_FILES)] = []
    limits: LimitsModel = LimitsModel()
    retry: RetryModel | None = None
    labels: Annotated[dict[LabelName, ShortText], Field(max_length=32)] = {}
