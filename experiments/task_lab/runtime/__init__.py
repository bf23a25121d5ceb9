"""Brings the stack up and takes it down: Postgres, RabbitMQ, Redis, Prometheus and the platform."""
