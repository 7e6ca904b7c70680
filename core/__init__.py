"""What every package stands on: settings, errors, time, money and the relational database."""
