"""The use case: a model adopts a version, after it is seen that settings and endpoint suit the version."""

from contract.documents import Adoption
from scoring import golden
from scoring.batch import Model
from scoring.contracts import Contracts
from scoring.deadline import Deadline
from storage import Container


def adopt(
    model: Model, version: str, contracts: Contracts, container: Container, deadline: Deadline
) -> Adoption:
    """Have a model's entities encoded through a version from now on.

    Raises:
        Conflict: the model's settings name columns that the version does not have, the endpoint answers
            golden rows otherwise than the trained model, or another adoption came between.
        NotFound: the model has no export to adopt from, or there is no such version.
        NoContract: the version's contract is missing or damaged.
        Failure: there are golden rows, and the endpoint could not be asked.
    """
    candidate = golden.candidate_of(model, version, contracts)
    golden.prove(model, candidate, container, deadline)
    return contracts.adopt(model.name, model.settings.contract, version)
