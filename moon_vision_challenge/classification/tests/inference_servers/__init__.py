"""Programs that serve a model with other servers. Each runs in its server's environment, without this project."""
