"""SNS-backed custom resources for LocalStack's CloudFormation.

    plugins        what LocalStack finds through the entry points
    provider       the engine's calls, answered by the lifecycle
    lifecycle      which requests follow each other: rollback, replacement, clean-up
    conversation   one request: publish, wait, read the answer
    request        the message, and what a template must declare (no input or output)
    response       the rules for an answer (no input or output)
    bucket         where answers arrive
    attributes     what the engine keeps, and Fn::GetAtt reads
    operations     one operation of a stack at a time; the deletion of a stack that is being created
    engine_endings  the end state of a stack after a failure
"""
