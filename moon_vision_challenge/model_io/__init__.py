"""What an image classifier takes and returns, declared once: for the gateway and for the model zoo. Knows no Django."""
