"""What an image classifier accepts and returns, declared once for gateway and model zoo. Nothing here needs Django."""
