"""Recipes over the API."""

from api_client import ApiClient, make_token

from rules.engine import Engine


def test_recipes_are_listed_in_the_callers_language(api: ApiClient):
    found = {row["name"]: row for row in api.get("/recipes", headers={"Accept-Language": "ru"})["data"]}
    assert found["thank-you"]["title"] == "Спасибо за заказ"
    assert found["thank-you"]["usable"] is True


def test_used_recipe_is_a_draft(api: ApiClient):
    answer = api.call("POST", "/recipes/thank-you/use", json={"as": "thanks"})
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/v1/rules/thanks")
    made = api.get("/rules/thanks")
    assert (made["state"], made["version"], made["has_draft"]) == ("off", None, True)
    assert made["draft"].startswith("rule: thanks\n")
    assert api.post("/recipes/thank-you/use", status=201)["name"] == "thank-you"


def test_taken_name_and_unknown_recipe_are_refused(api: ApiClient):
    api.post("/recipes/thank-you/use", status=201)
    assert api.post("/recipes/thank-you/use", status=409)["code"]
    assert api.post("/recipes/nothing/use", status=404)["code"]
    assert "as" in str(api.post("/recipes/thank-you/use", {"as": "No Name"}, status=422))


def test_recipe_is_tried_before_it_is_used(api: ApiClient):
    told = api.post("/recipes/thank-you/test", {"last": 10})
    assert (told["rule"], told["events"]) == ("thank-you", 0)
    assert api.get("/rules")["data"] == []


def test_reader_may_look_and_try_but_not_make(app: object, engine: Engine):
    reader = ApiClient(app, make_token(engine, ["rules:read"]))
    assert reader.get("/recipes")["data"]
    assert reader.post("/recipes/thank-you/test")["events"] == 0
    assert reader.post("/recipes/thank-you/use", status=403)["code"]
