import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local import azurite as azurite_module
from local.azurite import LOOPBACK, Azurite, AzuriteFailed, running_azurite
from local.bootstrap import ROOT, Node

PATIENCE_S = 30.0


def test_a_blob_is_read_back_as_it_was_written(azurite: Azurite, container_name: str) -> None:
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        container = service.create_container(container_name)
        container.upload_blob("customers.csv", b"_id,Name\r\n1,\xc3\x98yvind\r\n")
        assert container.download_blob("customers.csv").readall() == b"_id,Name\r\n1,\xc3\x98yvind\r\n"


def test_a_message_is_taken_off_a_queue(azurite: Azurite, container_name: str) -> None:
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        queue = service.create_queue(container_name)
        queue.send_message("customers")
        message = queue.receive_message()
        assert message is not None
        assert message.content == "customers"


def test_the_three_services_listen_on_loopback_alone(azurite: Azurite) -> None:
    for port in (azurite.blob_port, azurite.queue_port, azurite.table_port):
        assert _listens(port)
        assert not _listens(port, "127.0.0.2")  # answers only where a server listens on every address


def test_two_run_beside_each_other_and_know_nothing_of_each_other(
    azurite: Azurite, container_name: str
) -> None:
    with running_azurite() as other:
        for each in (azurite, other):
            with BlobServiceClient.from_connection_string(each.connection_string) as service:
                service.create_container(container_name)  # a second one on the same server would be 409


def test_when_the_block_ends_so_does_the_server_and_its_data_is_gone() -> None:
    with running_azurite() as azurite:
        assert azurite.folder.is_dir()
    assert azurite.process.poll() is not None
    assert not _listens(azurite.blob_port)
    assert not azurite.folder.exists()


def test_the_server_ends_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), running_azurite() as azurite:
        raise ZeroDivisionError
    assert azurite.process.poll() is not None
    assert not azurite.folder.exists()


def test_a_given_folder_keeps_its_data_for_the_next_start(tmp_path: Path) -> None:
    with running_azurite(folder=tmp_path) as first, _blob_service(first) as service:
        service.create_container("kept").upload_blob("data.csv", b"1,2\r\n")
    with running_azurite(folder=tmp_path) as second, _blob_service(second) as service:
        assert service.get_blob_client("kept", "data.csv").download_blob().readall() == b"1,2\r\n"


def test_with_a_given_port_queue_and_table_get_the_next_two() -> None:
    port = _first_of_three_free_ports()
    with running_azurite(blob_port=port) as azurite:
        assert (azurite.blob_port, azurite.queue_port, azurite.table_port) == (port, port + 1, port + 2)


@pytest.mark.parametrize("blob_port", [-1, 65534, 70000])
def test_ports_that_do_not_exist_are_refused(blob_port: int) -> None:
    with pytest.raises(AzuriteFailed, match="from 1 to 65533"), running_azurite(blob_port=blob_port):
        pass


def test_a_port_in_use_is_one_plain_line_that_says_what_to_do(azurite: Azurite) -> None:
    ran = _run_alone(azurite.blob_port)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert re.fullmatch(rf"Port {azurite.blob_port} is in use, .*PORT=\d+\.\n", ran.stderr)


def test_a_port_that_is_no_number_is_one_plain_line() -> None:
    ran = _run_alone("blob")
    assert ran.returncode == 2
    assert re.fullmatch(r"azurite: error: .*'blob'\n", ran.stderr)


def test_what_azurite_said_is_shown_when_it_cannot_start(tmp_path: Path) -> None:
    no_folder = tmp_path / "a-file"
    no_folder.write_text("")
    with (
        pytest.raises(AzuriteFailed, match=r"(?s)It said:\n.*EEXIST.*a-file"),
        running_azurite(folder=no_folder),
    ):
        pass


def test_what_azurite_said_is_shown_when_it_fails_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "azurite.js"
    failing.write_text(
        "for (const name of ['Blob', 'Queue', 'Table'])"
        " console.log(`Azurite ${name} service is successfully listening at http://127.0.0.1:1`);\n"
        "setImmediate(() => { throw new Error('the disk is full'); });"
    )
    monkeypatch.setattr(azurite_module, "_PROGRAM", failing)
    with pytest.raises(AzuriteFailed, match="the disk is full"), running_azurite() as azurite:
        azurite.process.wait(PATIENCE_S)


@pytest.mark.parametrize("node", [None, Node("node", ("npm",))], ids=["no node", "no Azurite"])
def test_what_is_not_installed_says_what_to_run(
    node: Node | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azurite_module, "find_node", lambda: node)
    monkeypatch.setattr(azurite_module, "_PROGRAM", tmp_path / "not-there.js")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(AzuriteFailed, match="make setup"), running_azurite():
        pass
    assert list(tmp_path.iterdir()) == []


def test_somebody_may_end_it_on_purpose() -> None:
    with running_azurite() as azurite:
        azurite.process.kill()
        azurite.process.wait(PATIENCE_S)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_it_never_outlives_the_program_that_started_it(ending: signal.Signals) -> None:
    with _parent_of_azurite() as (parent, port, folder):
        parent.send_signal(ending)
        parent.wait(PATIENCE_S)
        _wait_until(lambda: not _listens(port) and not folder.exists())


def test_alone_it_says_how_to_use_it_and_ends_with_status_0() -> None:
    port = _first_of_three_free_ports()
    process = subprocess.Popen(
        [sys.executable, "-m", "local.azurite", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        setting = next(line for line in process.stdout if "AzureWebJobsStorage" in line)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1" in setting


def _run_alone(port: int | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.azurite", "--port", str(port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def _blob_service(azurite: Azurite) -> BlobServiceClient:
    return BlobServiceClient.from_connection_string(azurite.connection_string)


@contextmanager
def _parent_of_azurite() -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """A program that runs Azurite and waits, as a demo does; it takes signals as Python does."""
    program = (
        "import sys\n"
        "from local.azurite import running_azurite\n"
        "with running_azurite() as azurite:\n"
        "    print(azurite.blob_port, azurite.folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert parent.stdout is not None
        port, folder = parent.stdout.readline().split(maxsplit=1)
        yield parent, int(port), Path(folder.strip())
    finally:
        parent.kill()
        parent.communicate()


def _listens(port: int, address: str = LOOPBACK) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def _first_of_three_free_ports() -> int:
    while True:
        port = random.randrange(20_000, 32_000)  # below those that systems give to clients
        if not any(_listens(port + offset) for offset in range(3)):
            return port


def _wait_until(come_true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not come_true():
        assert time.monotonic() < give_up
        time.sleep(0.01)
