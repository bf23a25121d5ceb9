"""The compose runtime: the stack of docker-compose.yml, in containers of a real engine."""
