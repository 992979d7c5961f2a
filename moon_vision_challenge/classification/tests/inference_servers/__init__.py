"""Programs that serve a model by other servers. Each runs in its server's environment, without this project."""
