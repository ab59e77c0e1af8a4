"""The Common Expression Language as Kubernetes has it: parser, type checker, evaluation, libraries.

Syntax, types, order and wording of errors are cel-go's. `programs.compile_rule` is the way in.
"""
