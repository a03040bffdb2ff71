"""The soak: the whole road for minutes, faults switched on at random from a seed, and then the books.

    make soak MINUTES=5 SEED=42

`world` makes what is sent and knows what must come back; `service` is a web service of moods; `parts` runs
everything with a toxic proxy at every joint; `callers` use it as Sesam does; `fate` breaks it; `books` adds
up; `run` holds them together.
"""
