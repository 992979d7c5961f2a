"""What an image classifier takes and returns, declared once for gateway and model zoo. Nothing here needs Django."""
