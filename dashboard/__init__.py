"""The screen: Streamlit pages over the engine; no logic of its own that the command line lacks."""
