"""The wire: a published version registered as a data asset version in Azure ML (facts/azureml.md §5).

An asset is only a pointer to the version's folder. Registering twice is no error; a failure is a note in the
run and never takes a version back.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import requests
from urllib3.exceptions import HTTPError

import telemetry
from contract.documents import Manifest, decode
from cutoff import Exchange, WatchedAdapter, cut_at
from errors import CredentialsRefused, Failure, Fault, requests_fault
from sections import AzureMLSettings
from training_export.mltable import mltable

API_VERSION = "2025-12-01"
SCOPE = "https://management.azure.com/.default"
MANAGEMENT = "https://management.azure.com"
DEADLINE_S = 60.0
LARGEST_ANSWER = 1_000_000


class _Resource(msgspec.Struct):
    properties: dict[str, Any]


class DataAssets:
    """The data assets of a workspace.

    Args:
        settings: Where the workspace is, and the datastore whose container is ours.
        token: Gives a bearer token for SCOPE.
        monotonic: The clock of the deadline.
        base: The address of Azure Resource Manager.
    """

    def __init__(
        self,
        settings: AzureMLSettings,
        token: Callable[[], str],
        monotonic: Callable[[], float],
        base: str = MANAGEMENT,
    ) -> None:
        self._workspace = (
            f"/subscriptions/{quote(settings.subscription, safe='')}"
            f"/resourceGroups/{quote(settings.resource_group, safe='')}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{quote(settings.workspace, safe='')}"
        )
        self._settings = settings
        self._token = token
        self._monotonic = monotonic
        self._base = base
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchedAdapter())

    @telemetry.REGISTER
    def register(self, manifest: Manifest) -> str:
        """Register a version under the export's name; give a note where that failed, else nothing."""
        url = (
            f"{self._base}{self._workspace}/data/{manifest.export}/versions/{manifest.version}"
            f"?api-version={API_VERSION}"
        )
        exchange = None
        try:
            body = self.body(manifest)
            with cut_at(self._monotonic() + DEADLINE_S) as exchange:
                status, is_asset = self._send("PUT", url, body)
                # A version is immutable: what refuses the second time may be the first one itself.
                if status in (400, 409) and self._send("GET", url) == (200, True):
                    return ""
            # A body that ends with the connection looks whole.
            reason = Fault.SILENT.value if exchange.cut else _refusal(status, is_asset=is_asset)
        except requests.RequestException as error:
            reason = _told(exchange, requests_fault(error))
        except HTTPError:
            reason = _told(exchange, Fault.BROKEN)
        except Failure as failure:
            reason = failure.detail
        except Exception as error:  # noqa: BLE001  # whatever it is, it may not take a version back
            reason = f"an error nobody foresaw ({type(error).__name__})"
        return f"data asset {manifest.export}:{manifest.version} not registered: {reason}" if reason else ""

    def body(self, manifest: Manifest) -> dict[str, Any]:
        """Write what is registered: the folder, and tags to tell the version by."""
        has_mltable = mltable(manifest) is not None
        place = self._settings
        uri = (
            f"azureml://subscriptions/{place.subscription}/resourcegroups/{place.resource_group}"
            f"/workspaces/{place.workspace}/datastores/{place.datastore}"
            f"/paths/snapshots/{manifest.export}/{manifest.version}/"
        )
        properties: dict[str, Any] = {
            "dataType": "mltable" if has_mltable else "uri_folder",
            "dataUri": uri,
            "description": f"Sesam pipe {manifest.pipe}, {manifest.rows} rows",
            "tags": {
                "rows": str(manifest.rows),
                "sha256": manifest.sha256,
                "contract_id": manifest.contract_id,
                "pipe": manifest.pipe,
            },
            "isAnonymous": False,
        }
        return {"properties": properties | ({"referencedUris": [uri]} if has_mltable else {})}

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, because requests would put a password from ~/.netrc over a plain header.
        try:
            token = self._token()
        except Exception as error:  # noqa: BLE001  # azure-identity reads an odd answer into errors of any kind
            raise CredentialsRefused(f"no token ({type(error).__name__})") from None
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    def _send(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[int, bool]:
        """Give the status, and whether the answer holds a data asset version."""
        with self._session.request(
            method,
            url,
            json=body,
            auth=self._authorize,
            allow_redirects=False,
            stream=True,
            timeout=DEADLINE_S / 2,
        ) as answer:
            told = answer.raw.read(LARGEST_ANSWER, decode_content=True)
        try:
            return answer.status_code, "dataUri" in decode(told, _Resource).properties
        except msgspec.DecodeError:
            return answer.status_code, False


def _refusal(status: int, *, is_asset: bool) -> str:
    """Say why a version that was sent is not registered, by the answer's status; nothing where it is."""
    match status:
        case 200 | 201 if not is_asset:
            return f"{status} came with something that is no data asset"
        case 200 | 201 | 202:
            return ""
        case 401 | 403:
            advice = "The app's identity needs the role AzureML Data Scientist on the workspace."
            return f"Azure ML answered {status}. {advice}"
    return f"Azure ML answered {status}."


def _told(exchange: Exchange | None, fault: Fault) -> str:
    return (Fault.SILENT if exchange and exchange.cut else fault).value
