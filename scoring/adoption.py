"""The use case: a model adopts a version, after it is seen that its settings suit the version's contract."""

from contract.documents import Adoption
from errors import Conflict, NoContract, NotFound
from scoring import models
from scoring.batch import Model


def adopt(model: Model, version: str) -> Adoption:
    """Have a model's entities encoded through a version from now on.

    Raises:
        Conflict: the model's settings name columns that the version does not have.
        NotFound: the model has no export to adopt from, or there is no such version.
    """
    export = model.settings.contract
    if not export:
        raise NotFound(f"The model {model.name} has no contract in its settings: there is nothing to adopt.")
    contracts = models.contracts()
    contract = contracts.contract_of(export, version)
    try:
        models.encoder_of(model.settings, model.prefix, contract)
    except NoContract as failure:
        raise Conflict(failure.detail) from None
    return contracts.adopt(model.name, export, version)
