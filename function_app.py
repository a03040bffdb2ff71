"""The Function App: registers what each side offers, and nothing else."""

import azure.functions as func

import health
import scoring.functions
import training_export.functions

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for module in (health, scoring.functions, training_export.functions):
    app.register_functions(module.blueprint)
