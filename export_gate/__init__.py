"""export_gate"""
