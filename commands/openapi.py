"""`openapi`: the description of the HTTP API, made from its table of routes."""

import click

from commands.call import Call, pass_call
from commands.noun import Verb
from web.api.tables import ROUTES
from web.openapi import make_document


@click.command(cls=Verb, examples=("openapi > openapi.json",))
@pass_call
def openapi(call: Call) -> None:
    """Print the OpenAPI 3.1 document of the HTTP API."""
    call.show(make_document(ROUTES))
