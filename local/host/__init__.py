"""A local host for the Function App: the real engine, `azure-functions-runtime`, without Core Tools.

`python -m local.host` serves an app directory the way `func start` does: HTTP functions with routes, methods
and keys, timers, Storage queues, the admin endpoint. It knows what the app uses and refuses the rest by name.
Everything it copies of the real host is written down in facts/functions.md §2 and §3.

    __main__       the command: read, enter the app, serve
    serving        the parts put together, until a signal
    configuration  host.json and local.settings.json → facts
    engine         the engine's coroutines: load an app, run a function    messages: what it is told
    functions      what the engine says of the app's functions
    http           a client's call → the engine's own server, streamed
    routes, keys   which function a path belongs to, and who may call it
    timers         a schedule → runs                                 ncrontab: the schedule's times
    queues         a Storage queue → runs
    admin          /admin
    running        what is under way, for a calm end
    process        the host as a child process, for tests and the demo
"""
