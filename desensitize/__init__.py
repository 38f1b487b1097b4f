"""desensitize"""
