"""The HTTP side: entities in, the same entities with the scores of an Azure ML web service out."""
