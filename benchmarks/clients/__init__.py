"""The clients that are measured, a module each.

A module has `PACKAGE`, the distribution whose version is reported, and `Sync`, `Async` or both.
Such a class is made with the server's address, is a context manager, and has

    stream(prompt, on_token)  read one stream to its end; call `on_token` with each token's text
    run(prompt)               return the text of a whole answer
    many(prompts)             return the texts of many, where the package has a way; async only

Settings that make the package as fast as it can be are in its module.
"""
