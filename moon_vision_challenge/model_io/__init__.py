"""What an image classifier takes and returns, declared once for the gateway and for the model zoo. Free of Django."""
