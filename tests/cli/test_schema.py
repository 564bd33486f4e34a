"""`rldk schema`."""

import json

from click.testing import CliRunner

from rldk.cli import rldk
from rldk.io.event_schema import json_schema
from tests.samples import FIELDS, REQUIRED


def test_the_schema_is_printed_with_the_event_at_the_top() -> None:
    """Valid JSON Schema of draft 2020-12, whose properties are the event's own."""
    done = CliRunner().invoke(rldk, ["schema"])
    schema = json.loads(done.output)

    assert done.exit_code == 0
    assert schema == json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:rldk:event:1"
    assert list(schema["properties"]) == FIELDS
    assert schema["required"] == REQUIRED
    assert schema["additionalProperties"] is False
