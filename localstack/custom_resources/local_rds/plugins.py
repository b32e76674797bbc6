"""The plug-ins that LocalStack finds through the entry points of this package.

LocalStack imports this module whenever it looks for a service, so nothing of the package itself, and nothing of moto, is
imported before it is used.
"""

from localstack.services.plugins import Service, aws_provider


@aws_provider(api="rds")
def rds() -> Service:
    """The first call to RDS makes it, or the start of LocalStack where `SERVICES` names it."""
    from local_rds import service

    return service.create()
