"""Stand-ins for Azure ML web services, built from facts/azureml.md: `classic` is the first.

`model` is what all of them serve: a scikit-learn pipeline with the schema of the columns that it is asked by.
"""
