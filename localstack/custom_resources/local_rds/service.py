"""The API's calls, answered by moto, as LocalStack's own services answer what they have no code of their own for.

LocalStack's open edition brings no interface of RDS to derive a provider from, so the table of calls is made from the
service's description.
"""

from localstack.aws.api import RequestContext, ServiceRequest, ServiceResponse
from localstack.aws.skeleton import Skeleton
from localstack.aws.spec import load_service
from localstack.services.moto import call_moto
from localstack.services.plugins import Service

from local_rds import databases, endpoints, master_secret, moto_patches, server

NAME = "rds"


def create() -> Service:
    """The service, with the server that the environment names."""
    local = server.from_environment()
    made = databases.Databases(local)
    moto_patches.attach(made)
    master_secret.hold(made.credentials)

    def answer(context: RequestContext, _: ServiceRequest) -> ServiceResponse:
        answered = call_moto(context)
        endpoints.lead_to(local, answered)
        return answered

    model = load_service(NAME)
    calls = dict.fromkeys(model.operation_names, answer)
    return Service(name=NAME, skeleton=Skeleton(model, calls))
