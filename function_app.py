"""The Function App: registers what each side offers, and nothing else."""

import azure.functions as func

import health
import scoring.functions
import training_export.functions

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for blueprint in (health.blueprint, scoring.functions.blueprint, training_export.functions.blueprint):
    app.register_functions(blueprint)
