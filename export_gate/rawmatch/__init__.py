"""Raw match: are the people of the tables in a product, in clear, encoded, hashed, renamed or as rows in disguise (B1–B4; E2, E3)?"""
