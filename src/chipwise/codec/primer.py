"""placeholder"""
PRIMER = b""
