import json

import requests
from bs4 import BeautifulSoup

SITE = "@URL@"

answer = requests.get(SITE, timeout=5)
answer.raise_for_status()
page = BeautifulSoup(answer.content, "html.parser")
for link in page.find("ul", class_="comics").find_all("a"):
    if link.get_text(strip=True) == "海と本の物語":
        print(json.dumps(requests.compat.urljoin(SITE, link["href"])))
        break
