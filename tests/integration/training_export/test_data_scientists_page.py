"""The code of docs/data-scientists.md runs: a version downloaded, proved, loaded by pandas and mltable."""

import re
import subprocess
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient
from pydantic import SecretStr

from contract.documents import encode
from local.azurite import Azurite
from local.bootstrap import ROOT
from sections import StorageSettings
from storage import mltable_blob, open_container
from tests.environments import environment
from tests.exports import Bench, FakeNode
from training_export.publisher import PipeFacts

PAGE = (ROOT / "docs" / "data-scientists.md").read_text()
BODY = (
    "_id,PostCode,Income,Score,Newsletter,Since,Seen,Note\r\n"
    '007,0150,1000,1.5,true,2026-01-02,2026-01-02T03:04:05Z,"one\r\ntwo"\r\n'
    "008,0252,,,,,,NA\r\n"
    "009,,9007199254740993,2,false,1936-01-12,2026-01-02T03:04:05.123Z,\r\n"
)


def block(name: str) -> str:
    found = re.search(rf"<!-- run: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"docs/data-scientists.md has no block {name}"
    return found[1]


@pytest.fixture(scope="module")
def folder(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version downloaded by the page's own code, with its MLTable beside it."""
    settings = StorageSettings(
        container="training-data", connection_string=SecretStr(azurite.connection_string)
    )
    container = open_container(settings)
    container.ensure()
    run = Bench(container=container).run(BODY.encode())
    assert run.outcome == "published"
    folder = tmp_path_factory.mktemp("downloaded")
    exec(block("download"), {"connection_string": azurite.connection_string, "folder": folder})
    table = container.read(mltable_blob("customers", str(run.version)))
    assert table is not None
    (folder / "MLTable").write_bytes(table.data)
    with ContainerClient.from_connection_string(azurite.connection_string, "training-data") as client:
        client.delete_container()
    return folder


def shown(code: str, folder: Path) -> str:
    python = environment("mltable", Path(__file__).parent / "requirements.txt")
    show = "print(frame.to_json(orient='values', date_format='iso', date_unit='ms'))"
    program = f"folder = {str(folder)!r}\n{code}\n{show}"
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_the_download_is_proved(folder: Path) -> None:
    assert (folder / "data.csv").read_bytes() == BODY.encode()


def test_pandas_keeps_zeros_gaps_and_digits(folder: Path) -> None:
    assert shown(block("pandas"), folder) == (
        '[["007","0150",1000,1.5,true,"2026-01-02T00:00:00.000Z","2026-01-02T03:04:05.000Z","one\\r\\ntwo"],'
        '["008","0252",null,null,null,null,null,"NA"],'
        '["009",null,9007199254740993,2.0,false,"1936-01-12T00:00:00.000Z","2026-01-02T03:04:05.123Z",null]]'
    )


def test_pandas_reads_what_is_not_quoted_and_what_has_a_mark_as_it_was_written(tmp_path: Path) -> None:
    bench = Bench(node=FakeNode(facts=PipeFacts(sink={"quoting": "none", "encoding": "utf-16"})))
    body = '_id,Note\r\n1,"abc\r\n2,def"\r\n'.encode("utf-16")
    version = str(bench.run(body).version)
    (tmp_path / "manifest.json").write_bytes(encode(bench.versions.manifest(version)))
    (tmp_path / "data.csv").write_bytes(body)
    assert shown(block("pandas"), tmp_path) == '[["1","\\"abc"],["2","def\\""]]'


def test_mltable_keeps_them_too(folder: Path) -> None:
    told = shown(block("mltable"), folder)
    assert '["007","0150",' in told
    assert '"9007199254740993"' in told
    assert '"one\\r\\ntwo"' in told
