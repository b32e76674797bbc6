"""RDS for LocalStack's open edition: moto's, on a PostgreSQL that is really there.

    plugins          what LocalStack finds through the entry points
    service          the API's calls, answered by moto
    server           the PostgreSQL that every instance and cluster is (no input or output but the environment)
    endpoints        answers that lead to that server (no input or output)
    databases        what is made in that server, and dropped, as moto's records come and go
    postgres         the SQL for it
    master_secret    what is in the secret that RDS manages
    resources        CloudFormation's resource types, made with the API's calls
    deletion_policy  what a template says about a resource's end
"""
